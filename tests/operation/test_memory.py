"""What the server's processes share stays shared."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A worker of gunicorn is a fork of a process that has imported this. What the collector may look through, it writes to.
_LOOK = """
import gc
import idp.wsgi
print(gc.get_freeze_count(), len(gc.get_objects()))
"""


def test_the_collector_leaves_alone_what_was_loaded_before_the_fork(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IDP_")},
        "IDP_ISSUER": "http://localhost:9000",
        "IDP_DATABASE_URL": f"sqlite:///{tmp_path / 'idp.sqlite3'}",
        "IDP_VAR_DIR": str(tmp_path),
        "IDP_SECRET": "a secret for tests only, long enough to be taken",
    }

    looked = subprocess.run(
        [sys.executable, "-c", _LOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    shared, own = map(int, looked.stdout.split())
    assert shared > 100_000
    assert own < 1_000
