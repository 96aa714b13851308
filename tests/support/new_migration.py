"""`make migration MESSAGE="…"`: write the next migration file from what the models have and the history has not.

Works on a throw-away database, so that it needs no configuration. What it writes is a draft: read it, and make sure
that the old version of the program can still run on the new schema (design §11: expand, then contract).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from idp.db import migrate
from idp.db.migrate import MIGRATIONS
from tests.support.databases import migrating_app


def write_migration(message: str) -> Path | None:
    """Write the file and return its path; None when the models ask for nothing new."""
    number = 1 + len(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))
    with tempfile.TemporaryDirectory() as folder, migrating_app(f"sqlite:///{folder}/draft.sqlite3") as app:
        migrate.upgrade(app)
        with app.app_context():
            config = app.extensions["migrate"].migrate.get_config(opts=["autogenerate"])
            script = command.revision(config, message=message, autogenerate=True, rev_id=f"{number:04}")
    if script is None or isinstance(script, list):
        return None
    file = Path(script.path)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "# ###" not in line))
    return file


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit('Say what changes: make migration MESSAGE="remember the colour of a client"')
    written = write_migration(sys.argv[1])
    if written is None:
        sys.exit("The models ask for nothing that the history has not.")
    for step in (["format", "--quiet"], ["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *step, str(written)], check=False)
    sys.stdout.write(f"Written: {written.relative_to(MIGRATIONS.parent)}. Read it, then run make test.\n")
