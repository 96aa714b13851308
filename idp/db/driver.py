"""Fixed statements on PostgreSQL: what is known about them beforehand is not found out again at each execution.

A cursor of psycopg asks at every execution how its values are to be written, whether to prepare, and what came back. A
`FixedStatement` knows all of that. So each connection prepares it once and from then on executes it through libpq, as
psycopg wraps it (`psycopg.pq`), under the connection's own bounded wait (`idp.db.bounded`). Nothing says BEGIN: each
statement is a transaction of its own, and the connection is afterwards as it was (docs/adr/0018).
"""

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import psycopg
from psycopg import errors
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, MultipleResultsFound

from idp.db.fixed import FixedStatement
from idp.db.places import Places
from idp.db.pool import LendingPool

_PREPARED = "idp_prepared"
_DONE = ExecStatus.TUPLES_OK
_IDLE = TransactionStatus.IDLE


class OnDriver:
    """A connection lent by the engine's pool for single statements. Errors are SQLAlchemy's, as everywhere."""

    def __init__(self, engine: Engine, places: Places | None) -> None:
        """The engine's pool must be a `LendingPool`. `places` None: this goes first, whoever asks."""
        assert isinstance(engine.pool, LendingPool)
        self.dialect = engine.dialect
        self._pool = engine.pool
        self._places = places
        self._has_place = False
        self._listeners = engine.dispatch.before_cursor_execute

    def __enter__(self) -> "OnDriver":
        self._has_place = self._places is not None and self._places.take()
        try:
            self._entry = self._pool.lend()
        except BaseException as error:
            self._leave()
            if isinstance(error, psycopg.Error):
                raise _translated(error, is_lost=False) from error
            raise
        driver = self._entry.driver_connection
        assert isinstance(driver, psycopg.Connection)
        self._driver = driver
        self._prepared: set[bytes] = self._entry.info.setdefault(_PREPARED, set())
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        is_lost = self._driver.pgconn.transaction_status != _IDLE
        if is_lost:  # closed, or somebody interrupted us while an answer was on its way
            self._entry.invalidate(error)
        self._pool.take_back(self._entry)
        self._leave()
        if isinstance(error, psycopg.Error):
            raise _translated(error, is_lost=is_lost) from error

    def _leave(self) -> None:
        if self._has_place and self._places is not None:
            self._places.give_back()

    def one_or_none(self, statement: FixedStatement, values: Mapping[str, Any]) -> Any:
        """See `SingleStatements`."""
        for listener in self._listeners:
            # Whoever counts or traces the engine's statements sees these too.
            listener(None, None, statement.text, statement.numbered(values), None, False)
        written = statement.written(values)
        try:
            result = self._execute(statement, written)
        except errors.InvalidSqlStatementName:
            # A proxy (pgbouncer) sent this to another of the server's processes, or emptied it. Nothing was executed.
            self._prepared.discard(statement.name)
            result = self._execute(statement, written)
        count = result.ntuples
        if count > 1:
            raise MultipleResultsFound("a fixed statement is about one row")
        return statement.unpack(result.get_value(0, 0)) if count else None

    def _execute(self, statement: FixedStatement, written: list[bytes | None]) -> Any:
        name, connection = statement.name, self._driver.pgconn
        if name not in self._prepared:
            connection.send_prepare(name, statement.text.encode(), statement.kinds)
            with suppress(errors.DuplicatePreparedStatement):  # a proxy's server process knows it from somebody else
                self._answer(ExecStatus.COMMAND_OK)
            self._prepared.add(name)
        connection.send_query_prepared(name, written, statement.formats)
        return self._answer(_DONE)

    def _answer(self, wanted: ExecStatus) -> Any:
        results = self._driver.wait(execute(self._driver.pgconn))
        # PostgreSQL commits after it has sent the row: an error may still follow, and is the answer (I12).
        for result in results:
            if result.status != wanted:
                raise errors.error_from_result(result, "utf-8")
        return results[0]


def _translated(error: psycopg.Error, *, is_lost: bool) -> BaseException:
    return DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost)
