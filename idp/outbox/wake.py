"""Noticing at once that the outbox may have new work: LISTEN on PostgreSQL, the change counter of the file on SQLite.

Only a hint, never the truth: notifications get lost (a transaction-pooling proxy swallows them, a connection dies), so
the worker polls behind it (design §11). Uses a connection of its own, outside the pool, and writes nothing.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import structlog
from sqlalchemy import Engine

from idp.db.bounded import BATCH_SECONDS, bounded_by
from idp.outbox.enqueue import NOTIFY_CHANNEL

SQLITE_INTERVAL_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 30.0
# How often the thread looks whether it shall stop, and how many such looks lie between two signs of life.
_LISTEN_SECONDS = 0.5
_LISTENS_PER_CHECK = 60

log = structlog.get_logger("idp.outbox")


class WakeUp(threading.Thread):
    """Calls `on_change` whenever somebody else committed something that may concern the outbox. Outlives outages."""

    def __init__(self, engine: Engine, on_change: Callable[[], None]) -> None:
        super().__init__(name="outbox-wake-up", daemon=True)
        self._engine = engine
        self._on_change = on_change
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let the thread end within a second."""
        self._stopping.set()

    def run(self) -> None:
        """Watch until `stop`; after an error, begin anew with a growing pause."""
        pause = 1.0
        watch = _watch_sqlite if self._engine.dialect.name == "sqlite" else _watch_postgresql
        while not self._stopping.is_set():
            try:
                for _ in watch(self._engine, self._stopping):
                    pause = 1.0
                    self._on_change()
            except (psycopg.Error, sqlite3.Error, OSError) as error:
                # The worker's polling goes on meanwhile. The class only: an error's text may quote the address.
                log.warning("wake_up_interrupted", error=type(error).__name__, again_in_seconds=pause)
                self._stopping.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


def _watch_postgresql(engine: Engine, stopping: threading.Event) -> Iterator[None]:
    positional, named = engine.dialect.create_connect_args(engine.url)
    options = {**named, "autocommit": True, "connect_timeout": 5, "application_name": "idp worker"}
    # Bounded: a sign of life that never comes must not leave the worker deaf for good.
    with closing(bounded_by(BATCH_SECONDS).connect(*positional, **options)) as connection:
        connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
        yield  # whatever was written before we listened
        while not stopping.is_set():
            for _ in range(_LISTENS_PER_CHECK):
                if stopping.is_set():
                    return
                for _notification in connection.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                    yield
            connection.execute("SELECT 1")  # a connection that died silently is found out


def _watch_sqlite(engine: Engine, stopping: threading.Event) -> Iterator[None]:
    if not engine.url.database:
        stopping.wait()
        return
    with closing(sqlite3.connect(engine.url.database, isolation_level=None)) as connection:
        seen = -1
        while not stopping.is_set():
            # Changes when another connection, of any process, has committed (SQLite, "PRAGMA data_version").
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != seen:
                seen = version
                yield
            stopping.wait(SQLITE_INTERVAL_SECONDS)
