"""What runs for long waits at its start for a PostgreSQL that is not there yet, and tells; for nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from idp.cli import waiting
from idp.cli.waiting import LONGEST_WAIT_SECONDS, wait_for_database, will_pass
from tests.cli.shell import SECRET
from tests.support.postgres_proxy import PostgresProxy
from tests.support.processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]
REFUSED = 'connection failed: connection to server at "10.0.0.5", port 5432 failed: Connection refused'
STARTING = "connection failed: FATAL:  the database system is starting up"
WRONG_PASSWORD = 'connection failed: FATAL:  password authentication failed for user "idp"'


def trouble(words: str) -> OperationalError:
    return OperationalError("SELECT 1", {}, psycopg.OperationalError(words))


class Start:
    """The start of a process: what the database says at each look, and how long was slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str, is_sqlite: bool = False) -> None:
        self.answers = list(answers)
        self.looks = 0
        self.slept: list[float] = []
        self._services: Any = SimpleNamespace(
            settings=SimpleNamespace(is_sqlite=is_sqlite), database=SimpleNamespace(engine=None)
        )
        monkeypatch.setattr(waiting, "find_schema_state", self._look)

    def _look(self, _engine: object) -> None:
        self.looks += 1
        if words := self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
            raise trouble(words)

    def wait(self) -> None:
        wait_for_database(self._services, sleep=self.slept.append, clock=lambda: sum(self.slept))


def test_a_database_that_is_there_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start(monkeypatch, "")

    start.wait()

    assert (start.looks, start.slept) == (1, [])


def test_one_that_is_starting_is_waited_for_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start(monkeypatch, REFUSED, REFUSED, STARTING, STARTING, STARTING, REFUSED, "")

    start.wait()

    assert start.slept == [0.5, 1, 2, 4, 8, 8]


def test_the_wait_is_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start(monkeypatch, REFUSED)

    with pytest.raises(OperationalError):
        start.wait()

    assert LONGEST_WAIT_SECONDS - 8 < sum(start.slept) <= LONGEST_WAIT_SECONDS


def test_what_time_does_not_mend_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start(monkeypatch, WRONG_PASSWORD)

    with pytest.raises(OperationalError, match="password"):
        start.wait()

    assert start.slept == []


def test_a_file_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start(monkeypatch, REFUSED, is_sqlite=True)

    start.wait()

    assert start.looks == 0


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        (REFUSED, True),
        (STARTING, True),
        ("connection timeout expired", True),
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  the database system is shutting down", True),
        (WRONG_PASSWORD, False),
        ('FATAL:  database "idp" does not exist', False),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7"', False),
    ],
)
def test_which_troubles_pass_by_themselves(words: str, passes: bool) -> None:
    assert will_pass(trouble(words)) is passes


class Machine:
    """`idp serve` and `idp worker` over a PostgreSQL that comes and goes."""

    def __init__(self, folder: Path, proxy: PostgresProxy) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
        self.proxy, self.port = proxy, free_port()
        self._log = folder / "log"
        self._environment = {
            **clean,
            "IDP_VAR_DIR": str(folder),
            "IDP_SECRET": SECRET,
            "IDP_DATABASE_URL": proxy.url,
            "IDP_ISSUER": f"http://localhost:{self.port}",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        with self._log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "idp.cli", *arguments], cwd=ROOT, env=self._environment, stderr=log, text=True
            )

    def said(self, words: str) -> bool:
        return words in self._log.read_text()


@pytest.fixture
def machine(postgresql_url: str, tmp_path: Path) -> Iterator[Machine]:
    """The database has its tables, but no keys: that takes `idp init` its second."""
    with PostgresProxy(make_url(postgresql_url)) as proxy:
        proxy.go_away()
        yield Machine(tmp_path, proxy)


def test_a_worker_that_starts_before_its_database_waits_for_it(machine: Machine) -> None:
    process = machine.start("worker")
    try:
        until(lambda: machine.said("waiting_for_database"))
        machine.proxy.come_back()
        until(lambda: machine.said("worker_started"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_server_that_starts_before_its_database_waits_for_it_and_then_looks_on(machine: Machine) -> None:
    process = machine.start("serve")
    try:
        until(lambda: machine.said("waiting_for_database"))
        machine.proxy.come_back()
        assert process.wait(60) == 1
        assert machine.said("No signing key can be used. Run `idp init`")
    finally:
        process.kill()
        process.wait()


def test_a_process_that_waits_ends_when_asked(machine: Machine) -> None:
    process = machine.start("worker")
    try:
        until(lambda: machine.said("waiting_for_database"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
