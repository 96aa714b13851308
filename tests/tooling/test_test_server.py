"""The PostgreSQL server of a test run lives exactly as long as the run, and refuses with a sentence to act on."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres_server import NoPostgres, find_binaries

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process that keeps a server; its run folder is `tmp_path / "run"`."""
    (tmp_path / "run").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.postgres_server", str(tmp_path / "run")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    ) as process:
        yield process


def _wait_for_answer(run_folder: Path) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while not (run_folder / "server.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    answer: dict[str, str] = json.loads((run_folder / "server.json").read_text())
    return answer


def test_the_server_and_its_files_go_when_the_run_closes_the_pipe(
    keeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    url = _wait_for_answer(tmp_path / "run")["url"].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting('data_directory'), pg_backend_pid()").fetchone()
    assert row is not None
    data = Path(row[0])
    server = int((data / "postmaster.pid").read_text().splitlines()[0])

    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait(timeout=60)

    assert not data.parent.exists()
    assert not (tmp_path / "run").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_an_interrupt_meant_for_the_run_does_not_take_the_server_away_under_the_tests(
    keeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    url = _wait_for_answer(tmp_path / "run")["url"].replace("+psycopg", "")

    keeper.send_signal(2)

    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_without_any_postgresql_the_failure_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(NoPostgres, match=r"apt-get install postgresql.*IDP_TEST_DATABASE_URL"):
        find_binaries()
