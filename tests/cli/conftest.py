"""Fixtures for the tests of commands."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from idp.cli import waiting
from tests.cli.shell import SECRET, Shell
from tests.support.heart import Heart


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("IDP_") and not name.startswith("IDP_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logs_of_before(restored_logging: None) -> None:
    """Some commands set up logging, here into what is only this test's standard error."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`idp serve` and `idp worker` look for the database once, instead of for a minute."""
    monkeypatch.setattr(waiting, "LONGEST_WAIT_SECONDS", 0.0)


@pytest.fixture
def blank(blank_database_url: str, tmp_path: Path) -> Shell:
    """A machine on which nothing was set up."""
    return Shell({"IDP_VAR_DIR": str(tmp_path), "IDP_SECRET": SECRET, "IDP_DATABASE_URL": blank_database_url})


@pytest.fixture
def shell(database_url: str, tmp_path: Path) -> Shell:
    """A machine after `idp init`."""
    shell = Shell({"IDP_VAR_DIR": str(tmp_path), "IDP_SECRET": SECRET, "IDP_DATABASE_URL": database_url})
    shell.json("init")
    return shell


@pytest.fixture
def today(heart: Heart) -> Heart:
    """The heart, with its clock at the machine's: the commands ask that one."""
    heart.clock.moment = datetime.now(UTC)
    return heart
