"""Databases for tests: every test that asks for `database` runs on SQLite and on a real PostgreSQL, with real commits.

Both start from a template that the migrations made once per run. SQLite: a copy of a file per test. PostgreSQL: one
private server per run (`tests.support.postgres_server`, or `IDP_TEST_DATABASE_URL`), one database per xdist worker,
emptied before each test. Nothing is rolled back and nothing is skipped: without a server the tests fail and say why.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from idp.db import migrate
from idp.db.engine import Database, db, engine_options, normalized_url
from idp.db.models import Base
from tests.support.economy import shared_engine_options

BACKENDS = ("sqlite", "postgresql")
# On SQLite each commit waits for the disk (I12), which is not what most tests are about: 5 ms, some dozen times a test.
MEMORY_DISK = Path("/dev/shm")
MEMORY_BYTES = 1 << 28
RUN_FOLDER = "IDP_TEST_RUN_FOLDER"
SERVER_TIMEOUT_SECONDS = 90
# Small: two workers, and races that open several nodes each, share one server's connections.
POOL_SIZE = 10


# ── The run: one folder, one server, both gone afterwards ─────────────────────────────────────────────────────────────


class TestRun:
    """What all workers of one run share. Only the controller makes and removes it."""

    __test__ = False

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="idp-test-run-", dir=_memory_disk()))
        self._keeper: subprocess.Popen[bytes] | None = None
        os.environ[RUN_FOLDER] = str(self.folder)

    def start_server(self) -> None:
        """Begin to start PostgreSQL, without waiting for it."""
        if self._keeper is None and not os.environ.get("IDP_TEST_DATABASE_URL"):
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.support.postgres_server", str(self.folder)],
                cwd=Path(__file__).resolve().parents[2],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )

    def end(self) -> None:
        """Stop the server (closing its pipe is the signal) and remove everything."""
        if self._keeper is not None:
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
            self._keeper.wait()
        else:
            with suppress(pytest.fail.Exception):  # a server that does not answer has failed the tests already
                _drop_databases_of(self.folder)
        os.environ.pop(RUN_FOLDER, None)
        shutil.rmtree(self.folder, ignore_errors=True)


def _memory_disk() -> Path | None:
    """A file system in memory with room for the databases of all workers, or None."""
    try:
        has_room = shutil.disk_usage(MEMORY_DISK).free >= MEMORY_BYTES
    except OSError:
        return None
    return MEMORY_DISK if has_room and os.access(MEMORY_DISK, os.W_OK) else None


_RUN = pytest.StashKey[TestRun]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder, and start the server early when workers will share it."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.stash[_RUN] = TestRun()
    if getattr(config.option, "numprocesses", None):
        config.stash[_RUN].start_server()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run; pytest calls this after Ctrl-C too."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.end()


@contextmanager
def _only_one_worker(name: str) -> Iterator[Path]:
    """Hold the run-wide lock `name`; yields the run's folder."""
    folder = Path(os.environ[RUN_FOLDER])
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


# ── Engines and migrations ────────────────────────────────────────────────────────────────────────────────────────────


def open_engine(url: str) -> Engine:
    """An engine as the service opens it, without the application."""
    url = normalized_url(url)
    return create_engine(url, **shared_engine_options(url, POOL_SIZE))


@contextmanager
def migrating_app(url: str) -> Iterator[Flask]:
    """The least application that migrations can run in: for the template, and for tests of migrations."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = normalized_url(url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(normalized_url(url), 3)
    db.init_app(app)
    migrate.init_app(app)
    with app.app_context():
        engine = db.engine
        Database(engine)
    try:
        yield app
    finally:
        engine.dispose()


def _migrate(url: str) -> None:
    with migrating_app(url) as app:
        migrate.upgrade(app)


# ── SQLite ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def _sqlite_template() -> Path:
    with _only_one_worker("sqlite") as folder:
        template = folder / "template.sqlite3"
        if not template.exists():
            unfinished = folder / "unfinished.sqlite3"
            _migrate(f"sqlite:///{unfinished}")
            if unfinished.with_name(unfinished.name + "-wal").exists():
                raise RuntimeError("a connection to the template was left open: a copy would lack what the WAL holds")
            unfinished.rename(template)
        return template


@pytest.fixture
def sqlite_url(_sqlite_template: Path) -> Iterator[str]:
    """A migrated SQLite database of this test's own."""
    with tempfile.TemporaryDirectory(dir=_sqlite_template.parent) as folder:
        yield f"sqlite:///{shutil.copyfile(_sqlite_template, Path(folder) / 'idp.sqlite3')}"


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def _server_url(request: pytest.FixtureRequest) -> URL:
    """The server's maintenance database."""
    given = os.environ.get("IDP_TEST_DATABASE_URL")
    if given:
        return make_url(normalized_url(given))
    run = request.config.stash.get(_RUN, None)
    if run is not None:
        run.start_server()
    answer_file = Path(os.environ[RUN_FOLDER]) / "server.json"
    deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
    while not answer_file.exists():
        if time.monotonic() > deadline:
            pytest.fail("PostgreSQL did not come up in time.", pytrace=False)
        time.sleep(0.05)
    answer = json.loads(answer_file.read_text())
    if "failure" in answer:
        pytest.fail(answer["failure"], pytrace=False)
    return make_url(answer["url"])


def _prefix(folder: Path) -> str:
    return "idp_test_" + folder.name.removeprefix("idp-test-run-").lower()


def _maintain(server: URL, statement: str) -> list[str]:
    """Run a statement outside any transaction; returns the first column of its rows."""
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            result = connection.execute(text(statement))
            return [row[0] for row in result] if result.returns_rows else []
    except OperationalError as failure:
        pytest.fail(f"The PostgreSQL server for tests does not answer:\n{failure.orig}", pytrace=False)
    finally:
        engine.dispose()


def _drop_databases_of(folder: Path) -> None:
    given = os.environ.get("IDP_TEST_DATABASE_URL")
    if given and (folder / "postgresql.lock").exists():
        server = make_url(normalized_url(given))
        for name in _maintain(server, f"SELECT datname FROM pg_database WHERE datname LIKE '{_prefix(folder)}%'"):
            _maintain(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def _postgresql_template(_server_url: URL) -> str:
    with _only_one_worker("postgresql") as folder:
        name = f"{_prefix(folder)}_template"
        if not _maintain(_server_url, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            unfinished = f"{_prefix(folder)}_unfinished"
            _maintain(_server_url, f'CREATE DATABASE "{unfinished}" TEMPLATE template0')
            _migrate(_server_url.set(database=unfinished).render_as_string(hide_password=False))
            _maintain(_server_url, f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')
        return name


class WorkersDatabase:
    """One PostgreSQL database of one worker, emptied between tests."""

    def __init__(self, server: URL, name: str) -> None:
        self.url = server.set(database=name).render_as_string(hide_password=False)
        self._engine = create_engine(self.url, poolclass=NullPool, connect_args={"options": "-c lock_timeout=5s"})
        self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # DELETE, child tables first: on tables with a handful of rows several times quicker than TRUNCATE.
        tables = [f'DELETE FROM "{table.name}"' for table in reversed(Base.metadata.sorted_tables)]
        self._empty = "; ".join(tables)

    def empty(self) -> None:
        """Delete all rows. A connection that a former test left inside a transaction is an error of that test."""
        try:
            self._connection.exec_driver_sql(self._empty)
        except OperationalError as failure:
            self._connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            raise RuntimeError("an earlier test in this worker left a transaction open") from failure

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()
        self._engine.dispose()


@pytest.fixture(scope="session")
def _workers_database(
    _server_url: URL, _postgresql_template: str, request: pytest.FixtureRequest
) -> Iterator[WorkersDatabase]:
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    name = _postgresql_template.removesuffix("_template") + f"_{worker}"
    with _only_one_worker("postgresql"):  # a template can be copied by one at a time
        _maintain(_server_url, f'CREATE DATABASE "{name}" TEMPLATE "{_postgresql_template}"')
    database = WorkersDatabase(_server_url, name)
    yield database
    database.close()


@pytest.fixture
def postgresql_url(_workers_database: WorkersDatabase) -> str:
    """A migrated, empty PostgreSQL database."""
    _workers_database.empty()
    return _workers_database.url


# ── What tests ask for ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=BACKENDS)
def database_backend(request: pytest.FixtureRequest) -> str:
    """`sqlite`, then `postgresql`: whoever asks for it, or for anything below, runs twice."""
    return str(request.param)


@pytest.fixture
def database_url(database_backend: str, request: pytest.FixtureRequest) -> str:
    """The address of a migrated database without rows."""
    url: str = request.getfixturevalue(f"{database_backend}_url")
    return url


@pytest.fixture
def open_database(database_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the test's database once more, with connections of its own, as another node would."""
    opened: list[Database] = []

    def open_once_more() -> Database:
        opened.append(Database(open_engine(database_url)))
        return opened[-1]

    yield open_once_more
    for database in opened:
        database.engine.dispose()


@pytest.fixture
def database(open_database: Callable[[], Database]) -> Database:
    """The test's database, as the service opens it."""
    return open_database()


@pytest.fixture
def blank_database_url(database_backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that no migration has touched."""
    if database_backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'blank.sqlite3'}"
        return
    with blank_database(request.getfixturevalue("_server_url"), request) as url:
        yield url


@contextmanager
def blank_database(server: URL, request: pytest.FixtureRequest, how: str = "") -> Iterator[str]:
    """The address of an empty PostgreSQL database; `how`: options of CREATE DATABASE."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    name = f"{_prefix(Path(os.environ[RUN_FOLDER]))}_{worker}_blank"
    with _only_one_worker("postgresql"):
        _maintain(server, f'CREATE DATABASE "{name}" TEMPLATE template0 {how}')
    yield server.set(database=name).render_as_string(hide_password=False)
    _maintain(server, f'DROP DATABASE "{name}" WITH (FORCE)')
