"""A PostgreSQL server of the benchmark's own: default settings, so fsync and synchronous_commit are on.

Only what measuring needs is set: a Unix socket in a private folder instead of a port, and `pg_stat_statements` loaded
but not counting (it counts only while statements are counted, so that it costs nothing while time is measured).
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 60
DATABASE = "bench"


class NotPossible(Exception):
    """The benchmark can't run here; the text says what to do."""


@dataclass(frozen=True)
class Postgres:
    """A running server. The provider connects as `idp`, the benchmark as `bench`: counts can tell them apart."""

    process: subprocess.Popen[bytes]
    folder: Path
    binaries: Path
    counts_statements: bool

    @property
    def url(self) -> str:
        """The address for the provider."""
        return f"postgresql://idp@/{DATABASE}?host={self.folder}"

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection of the benchmark's own, in autocommit mode."""
        with psycopg.connect(host=str(self.folder), user="bench", dbname=DATABASE, autocommit=True) as connection:
            yield connection


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A new server with an empty database, removed afterwards."""
    binaries, identity = _find_binaries(), _identity()
    folder = Path(tempfile.mkdtemp(prefix="idp-bench-pg-", dir=os.environ.get("BENCH_FOLDER")))
    if identity:
        shutil.chown(folder, identity["user"])
    log = folder / "log"
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("wb") as output:
            command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "bench", "--auth=trust"]
            environment = {**os.environ, "LC_ALL": "C"}
            made = subprocess.run(
                [*command, "--encoding=UTF8", "--no-locale"],
                stdout=output, stderr=output, cwd=folder, env=environment, check=False, **identity,
            )  # fmt: skip
            if made.returncode:
                raise NotPossible(f"initdb failed:\n{log.read_text()}")
            counts = _has_library(binaries, "pg_stat_statements.so")
            options = {"listen_addresses": "", "unix_socket_directories": str(folder), "log_min_messages": "error"}
            if counts:
                options |= {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "none"}
            # In the file and not on the command line, which ALTER SYSTEM could not overrule.
            with (folder / "data" / "postgresql.conf").open("a") as file:
                file.writelines(f"{name} = '{value}'\n" for name, value in options.items())
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(folder / "data")],
                stdout=output, stderr=output, cwd=folder, env=environment, start_new_session=True, **identity,
            )  # fmt: skip
        server = Postgres(process, folder, binaries, counts)
        _prepare(server, log)
        yield server
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(server: Postgres, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (connection := _connect(server)) is None:
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise NotPossible(f"PostgreSQL did not start:\n{log.read_text()}")
        time.sleep(0.05)
    with connection:
        connection.execute("CREATE ROLE idp LOGIN")
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER idp")
    if server.counts_statements:
        with server.connection() as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")


def _connect(server: Postgres) -> psycopg.Connection | None:
    try:
        return psycopg.connect(host=str(server.folder), user="bench", dbname="postgres", autocommit=True)
    except psycopg.OperationalError:
        return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                continue


def _identity() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then as the first unprivileged account there is."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid}
    raise NotPossible("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody.")


def _find_binaries() -> Path:
    """The folder with `initdb`, `postgres` and `pgbench`: the newest installed, else that on the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: (len(path.parent.name), path))[::-1]
    found = shutil.which("initdb")
    for folder in [*folders, *([Path(found).resolve().parent] if found else [])]:
        if all((folder / program).exists() for program in ("initdb", "postgres", "pgbench")):
            return folder
    raise NotPossible("PostgreSQL with pgbench is needed (on Debian and Ubuntu: apt-get install postgresql).")


def _has_library(binaries: Path, name: str) -> bool:
    answer = subprocess.run([str(binaries / "pg_config"), "--pkglibdir"], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and (Path(answer.stdout.strip()) / name).exists()
