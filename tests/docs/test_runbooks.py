"""Runbooks do what they say: their ```sh run blocks are run on a scratch installation, in the order of the page.

Each page gets an installation of its own on the embedded database, with two people who are signed in, one of them at an
application. The commands are the real ones (`tests.support.ready_commands`), in a real shell, which stops at the first
that fails.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from idp.db.engine import Database
from idp.keys.material import ALGORITHMS
from idp.kit.keyring import Keyring
from idp.settings import load_settings
from idp.users import find_by_login_name
from tests.docs.pages import ROOT, name_of
from tests.support.databases import open_engine
from tests.support.heart import HandClock, Heart
from tests.support.ready_commands import ready_commands

FOLDER = ROOT / "docs" / "how-to"
PASSWORD = "correct horse battery"
PEOPLE = ("ada@example.com", "grace@example.com")


def blocks_to_run(text: str) -> list[str]:
    """The page's fenced blocks that are marked `sh run`."""
    return re.findall(r"^```sh run\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


RUNBOOKS = [page for page in sorted(FOLDER.glob("*.md")) if page.read_text("utf-8").startswith("# Runbook: ")]


@dataclass(frozen=True)
class Installation:
    """A folder in which `idp init` was run, as an operator finds it."""

    folder: Path
    environment: dict[str, str]

    def run(self, script: str) -> str:
        """What a script prints; fails unless its exit status is 0."""
        done = subprocess.run(
            ["sh", "-eu"],
            input=script,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, command: str) -> Any:
        return json.loads(self.run(f"{command} --json"))

    def sessions(self) -> list[str]:
        """Whose sessions are alive, a name for each session."""
        return [name for name in PEOPLE for _ in self.json(f"idp sessions list --user {name}")]


@pytest.fixture(scope="module")
def commands() -> Iterator[Path]:
    """The folder with `idp`. Not in a test's own, whose path can be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="idp-test-") as folder, ready_commands(Path(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, commands: Path) -> Installation:
    """Made once; every test gets a copy."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "new-password").write_text("another horse battery", "utf-8")
    installation = Installation(folder, {**variables, "PATH": path, "IDP_VAR_DIR": "var"})
    installation.run("idp init")
    for name in PEOPLE:
        installation.run(f"echo '{PASSWORD}' | idp users create --email {name} --password-stdin")
    client_id = sign_people_in(folder / "var")
    return Installation(folder, {**installation.environment, "CLIENT_ID": client_id})


@pytest.fixture
def installation(prepared: Installation, tmp_path: Path) -> Installation:
    folder = tmp_path / "idp"
    shutil.copytree(prepared.folder, folder)
    return Installation(folder, prepared.environment)


def sign_people_in(var_dir: Path) -> str:
    """Each has a browser session, the first one tokens of an application too. Returns the application's client_id."""
    settings = load_settings({"IDP_VAR_DIR": str(var_dir)})
    database = Database(open_engine(settings.database_url))
    clock = HandClock()
    clock.moment = datetime.now(UTC)
    heart = Heart(database, lambda: database, clock, settings, Keyring(settings.known_secret))
    client = heart.client(name="Wiki", backchannel_logout_uri="https://wiki.example.com/backchannel-logout")
    for number, name in enumerate(PEOPLE):
        with database.reading() as tx:
            person = find_by_login_name(tx, name)
        assert person is not None
        started = heart.sign_in(person)
        if number == 0:
            heart.tokens_for(started, client)
    database.engine.dispose()
    return client.id


@pytest.mark.timeout(600)  # dozens of commands, each a process of its own
@pytest.mark.parametrize("page", RUNBOOKS, ids=name_of)
def test_the_commands_of_a_runbook_run_as_they_stand(page: Path, installation: Installation) -> None:
    blocks = blocks_to_run(page.read_text("utf-8"))

    assert blocks, "a runbook without commands that run"
    installation.run("\n".join(blocks))

    AFTERWARDS[page.name](installation)


def _people_are_as_in_the_backup(installation: Installation) -> None:
    assert sorted(row["email"] for row in installation.json("idp users list")) == sorted(PEOPLE)
    assert (installation.folder / "var" / "idp.sqlite3").stat().st_mode & 0o077 == 0
    assert installation.sessions() == [], "the backup brought somebody's session back to life"


def _nobody_is_signed_in(installation: Installation) -> None:
    assert installation.sessions() == []
    assert all(row["disabled_at"] is None for row in installation.json("idp clients list"))
    assert all(row["disabled_at"] is None for row in installation.json("idp users list"))


def _only_new_keys_sign_and_nobody_is_signed_out(installation: Installation) -> None:
    before = {key["kid"] for key in json.loads((installation.folder / "keys-before.json").read_text("utf-8"))}
    keys = installation.json("idp keys list")
    signing = [key for key in keys if key["state"] == "signing"]

    assert {key["kid"] for key in keys if key["state"] == "compromised"} == before
    assert sorted(key["algorithm"] for key in signing) == sorted(ALGORITHMS)
    assert len(keys) == len(before) + len(signing)
    assert sorted(installation.sessions()) == sorted(PEOPLE)


def _the_new_secret_alone_opens_the_keys(installation: Installation) -> None:
    leaked = (installation.folder / "leaked-secret").read_text("utf-8").strip()
    keys = installation.json("idp keys list")

    assert (installation.folder / "var" / "secret").read_text("utf-8").strip() != leaked
    assert {key["sealed_under"] for key in keys} == {"current secret"}
    assert {key["state"] for key in keys} == {"signing"}
    assert installation.sessions() == [PEOPLE[1]], "a browser session does not hang on the secret"


AFTERWARDS: dict[str, Callable[[Installation], None]] = {
    "back-up-and-restore.md": _people_are_as_in_the_backup,
    "replace-a-leaked-secret.md": _the_new_secret_alone_opens_the_keys,
    "replace-leaked-signing-keys.md": _only_new_keys_sign_and_nobody_is_signed_out,
    "sign-people-out.md": _nobody_is_signed_in,
}


def test_every_runbook_says_what_must_hold_afterwards() -> None:
    assert {page.name for page in RUNBOOKS} == set(AFTERWARDS)


def test_the_installation_has_something_to_end(installation: Installation) -> None:
    assert sorted(installation.sessions()) == sorted(PEOPLE)


def test_a_command_that_fails_stops_a_runbook(installation: Installation) -> None:
    with pytest.raises(AssertionError, match="Nobody has that e-mail address"):
        installation.run("idp sessions end --user nobody@example.com --all\ntouch went-on")

    assert not (installation.folder / "went-on").exists()
