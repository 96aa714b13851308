"""`python -m examples.compose`, against a real provider's database: what it makes, and what it leaves alone."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from idp.db.engine import Database
from idp.kit.opaque import Secret
from idp.settings import load_settings
from idp.users import find_by_login_name, verify_password
from idp.web.services import build_services
from tests.containers import compose

Program = Callable[[], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The provider's folder; for all tests here, since making a provider takes seconds."""
    return tmp_path_factory.mktemp("provider")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume that the applications see."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def program(var: Path, folder: Path) -> Program:
    """Runs it once more; it has run once already."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            env={**environment, "IDP_VAR_DIR": str(var)},
            cwd=compose.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def prepare() -> subprocess.CompletedProcess[str]:
        return run("examples.compose", str(folder))

    assert run("idp.cli", "init").returncode == 0
    first = prepare()
    assert first.returncode == 0, first.stderr
    return prepare


def test_the_passwords_that_it_says_are_those_of_the_people(program: Program, var: Path) -> None:
    passwords = dict(line.split() for line in program().stdout.splitlines())

    assert set(passwords) == {"alice", "bob"}
    services = build_services(load_settings({"IDP_VAR_DIR": str(var)}))
    try:
        for username, password in passwords.items():
            assert verify_password(_stored_hash(services.database, username), Secret(password))
    finally:
        services.database.engine.dispose()


def test_what_it_writes_is_for_its_owner_only(program: Program, folder: Path) -> None:
    written = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert written == {"application-1.env": 0o600, "application-2.env": 0o600, "people.txt": 0o600}


def test_another_start_changes_nothing(program: Program, folder: Path) -> None:
    before = {path.name: path.read_text() for path in folder.iterdir()}

    again = program()

    assert again.returncode == 0
    assert again.stdout == before["people.txt"]
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_a_start_after_half_a_start_makes_what_is_missing_and_nothing_else(program: Program, folder: Path) -> None:
    kept, lost = ((folder / name).read_text() for name in ("application-1.env", "application-2.env"))
    (folder / "application-2.env").unlink()

    again = program()

    assert again.returncode == 0, again.stderr
    assert (folder / "application-1.env").read_text() == kept
    assert (folder / "application-2.env").read_text() not in (kept, lost)


def test_a_refusal_ends_it_with_the_words_of_the_provider(program: Program, folder: Path) -> None:
    people = (folder / "people.txt").read_text()
    (folder / "people.txt").unlink()  # as if somebody else had made people of that name
    try:
        refused = program()
    finally:
        (folder / "people.txt").write_text(people)
        (folder / "people.txt").chmod(0o600)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "Error:" in refused.stderr
    assert "Traceback" not in refused.stderr


def _stored_hash(database: Database, username: str) -> str | None:
    with database.reading() as tx:
        user = find_by_login_name(tx, username)
        assert user is not None
        return user.password_hash
