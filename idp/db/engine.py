"""The one door to the database: transactions, readings, and connections of single statements.

An entry (route, command, worker step) opens one of them; rules receive the `Tx` and never commit. On SQLite a writing
transaction begins IMMEDIATE, because `FOR UPDATE` is silently ignored there and a read followed by a write could
otherwise act on what another connection has changed since. Both databases are durable: a return from
`transaction()` or `autocommit()` means the commit is on disk (I12).
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session as Tx

from idp.db.bounded import BATCH_SECONDS, bound_answers
from idp.db.driver import OnDriver
from idp.db.fixed import OnConnection, SingleStatements
from idp.db.models import Base
from idp.db.places import Places, goes_first
from idp.db.pool import LendingPool
from idp.db.silence import DatabaseBusy, Silence
from idp.db.stale import replace_stale_connections

__all__ = ["Database", "DatabaseBusy", "SingleStatements", "Tx", "db", "engine_options", "goes_first", "normalized_url"]

# Flask-SQLAlchemy makes and owns the engine and serves Flask-Migrate; its scoped session is not used anywhere.
db = SQLAlchemy(metadata=Base.metadata)

# For a free connection, for a new one, for a lock. Less than the 5 s within which a request is told 503 at the latest.
BUSY_TIMEOUT_SECONDS = 4
# SQLite's waiting for another process is polling without a queue: a writer may be unlucky several times in a row, so
# its patience is longer than that for a database that does not answer at all.
SQLITE_WRITER_SECONDS = 15


def normalized_url(url: str) -> str:
    """The same database address with our driver named."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1) if url.startswith("postgresql://") else url


def engine_options(url: str, pool_size: int) -> dict[str, Any]:
    """Engine options: bounded waits everywhere, so that a dead database is an error and not a hang."""
    # A statement's values would stand in the text of every exception: hashes, names, addresses.
    common = {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": BUSY_TIMEOUT_SECONDS, "hide_parameters": True}
    if url.startswith("sqlite"):
        return {
            **common,
            "connect_args": {"timeout": SQLITE_WRITER_SECONDS},
        }
    return {
        **common,
        "poolclass": LendingPool,
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "connect_timeout": BUSY_TIMEOUT_SECONDS,
            "application_name": "idp",
            # Fixed statements carry texts as bytes: no setting of the database, the account or the environment decides.
            "client_encoding": "utf8",
            # A host that vanished without a word: noticed here, since the server's time-outs died with it.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": f"-c lock_timeout={BUSY_TIMEOUT_SECONDS}s -c statement_timeout=30s"
            " -c idle_in_transaction_session_timeout=60s",
        },
    }


class Database:
    """Opens transactions on one engine.

    `answer_seconds`: how long PostgreSQL may take for one answer before that is an `OperationalError`; None: for ever,
    which only migrations may want. SQLite has its own time-out, and nobody on the way. `ordinary`: how many entries may
    be open at once that do not go first; None: as many as there are connections.
    """

    def __init__(
        self, engine: Engine, *, answer_seconds: float | None = BATCH_SECONDS, ordinary: int | None = None
    ) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._readers = engine if self.is_sqlite else engine.execution_options(postgresql_readonly=True)
        # SQLite's own waiting is polling and unfair: threads of one process queue here first.
        self._writers = threading.Lock()
        self._silence = Silence()
        self._places = Places(ordinary, BUSY_TIMEOUT_SECONDS, self._silence)
        if self.is_sqlite:
            _prepare_sqlite(engine)
            return
        replace_stale_connections(engine)
        if isinstance(engine.pool, LendingPool):
            engine.pool.silence = self._silence
        if answer_seconds is not None:
            bound_answers(engine, answer_seconds, self._silence)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """One writing transaction: committed when the block ends, rolled back when it raises."""
        with self._place(), self._turn_to_write(), Tx(self.engine, expire_on_commit=False) as tx:
            if self.is_sqlite:
                tx.connection(execution_options={"idp_begin": "IMMEDIATE"})
            yield tx
            tx.commit()

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """A transaction for reading only: nothing that is written in it stays, and PostgreSQL refuses to."""
        with self._place(), Tx(self._readers, expire_on_commit=False) as tx:
            yield tx
            if not self.is_sqlite:
                # No rollback: at one psycopg makes the server forget all prepared statements, ours included.
                tx.expunge_all()
                tx.commit()

    def single_reads(self) -> AbstractContextManager[SingleStatements]:
        """For the hot paths of one or two reads, each with a snapshot of its own, as under READ COMMITTED anyway.

        On PostgreSQL it saves the round trips of BEGIN and ROLLBACK. Never write in it.
        """
        return self._reading_on_sqlite() if self.is_sqlite else OnDriver(self.engine, self._places)

    def autocommit(self) -> AbstractContextManager[SingleStatements]:
        """For hot paths that write: each statement is its own transaction on PostgreSQL, all are one on SQLite.

        On PostgreSQL it saves the BEGIN and COMMIT round trips (docs/adr/0003). They go first.
        """
        return self._writing_on_sqlite() if self.is_sqlite else OnDriver(self.engine, None)

    @contextmanager
    def _reading_on_sqlite(self) -> Iterator[SingleStatements]:
        with self._place(), self.engine.connect() as connection:
            yield OnConnection(connection)

    @contextmanager
    def _writing_on_sqlite(self) -> Iterator[SingleStatements]:
        with self._turn_to_write(), self.engine.connect() as connection:
            connection = connection.execution_options(idp_begin="IMMEDIATE")
            with connection.begin():
                yield OnConnection(connection)

    @contextmanager
    def single_core_statements(self, *, writes: bool) -> Iterator[Connection]:
        """The same for Core statements that are made for the occasion, as the worker's are: clearer, and dearer."""
        if not self.is_sqlite:
            with self._place(), self.engine.connect() as connection:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
        elif writes:
            with self.transaction() as tx:
                yield tx.connection()
        else:
            with self.reading() as tx:
                yield tx.connection()

    @contextmanager
    def _place(self) -> Iterator[None]:
        has_place = self._places.take()
        try:
            yield
        finally:
            if has_place:
                self._places.give_back()

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._writers.acquire(timeout=SQLITE_WRITER_SECONDS):
            raise DatabaseBusy("other writers held the embedded database for too long")
        try:
            yield
        finally:
            self._writers.release()


def _prepare_sqlite(engine: Engine) -> None:
    if engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # pysqlite must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_WRITER_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # NORMAL may lose acknowledged commits in WAL mode (I12)
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("idp_begin", "DEFERRED")
        connection.execute(text(f"BEGIN {mode}"))
