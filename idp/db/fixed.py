"""Statements that are written once per process and then only sent, each a transaction of its own: for the hot paths.

SQLAlchemy makes a statement's text, binds its constants, sets a connection up and describes its result at every
execution; on a path that is one statement that is most of the cost. Here a Core expression becomes text once, its
constants in it as literals, and on PostgreSQL the driver gets it without anybody between (docs/adr/0016). The
expression stays the one home of the rule.

Constants must be ours: whatever comes from a request is a parameter without a value (`bindparam(name, type_=…)`).
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from sqlalchemy import BindParameter, Connection, Dialect, Engine, Insert, LargeBinary, Select, Update, func
from sqlalchemy.exc import DBAPIError, MultipleResultsFound
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler


class FixedStatement:
    """A statement for one dialect. Safe for threads; keep it for as long as the process lives."""

    def __init__(
        self,
        statement: Select[*tuple[Any, ...]] | Update | Insert,
        columns: Sequence[Any],
        dialect: Dialect,
        *,
        row: Callable[[Iterable[Any]], Any] | None = None,
    ) -> None:
        """`columns` are what it shall return, in order; none of them bytes. `row` makes a row of their values."""
        is_packed = dialect.name == "postgresql"
        # The driver describes every column of every result anew: on PostgreSQL there is only one.
        given = (func.json_build_array(*columns).label("packed"),) if is_packed else tuple(columns)
        if isinstance(statement, Select):
            whole: Any = statement.with_only_columns(*given, maintain_column_froms=True)
        else:
            whole = statement.returning(*given)
        # Numbered ($1) and named (:name) are what the two drivers take as it is; every other style is rewritten by one
        # of them at each execution, and psycopg remembers how only for statements below 4 kB.
        writer: Dialect = type(dialect)(paramstyle="numeric_dollar" if is_packed else "named")  # type: ignore[call-arg]
        compiled = _compiler_of(dialect)(writer, whole)
        self.text = compiled.string
        self._order = tuple(compiled.positiontup or ())
        writers = {name: _writer(bind, dialect) for name, bind in compiled.binds.items() if bind.required}
        self._writers = {name: writer for name, writer in writers.items() if writer is not None}
        kind: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
        self._row: Callable[[Iterable[Any]], Any] = row or kind._make
        found = [_reader(column, dialect) for column in columns]
        self._readers = [(place, reader) for place, reader in enumerate(found) if reader is not None]

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as the driver takes them."""
        written = dict(values)
        for name, write in self._writers.items():
            written[name] = write(written[name])
        return written

    def numbered(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The same, by the numbers of the parameters."""
        written = self.named(values) if self._writers else values
        return tuple([written[name] for name in self._order])

    def read(self, values: list[Any]) -> Any:
        """A row with attributes named as the columns, in the columns' own types."""
        for place, read in self._readers:
            values[place] = read(values[place])
        return self._row(values)


class SingleStatements(Protocol):
    """An open connection of which each statement is a transaction of its own."""

    dialect: Dialect

    def one_or_none(self, statement: FixedStatement, values: Mapping[str, Any]) -> Any:
        """Execute it, and return its one row with attributes named as the columns, or None. Two rows are an error."""


class OnConnection:
    """Through SQLAlchemy: for SQLite, where the caller's transaction is around it."""

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self._connection = connection

    def one_or_none(self, statement: FixedStatement, values: Mapping[str, Any]) -> Any:
        """See `SingleStatements`."""
        found = self._connection.exec_driver_sql(statement.text, statement.named(values)).one_or_none()
        return None if found is None else statement.read(list(found))


class OnDriver:
    """On psycopg's own connection, which commits each statement."""

    def __init__(self, engine: Engine, driver: psycopg.Connection[Any]) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self._driver = driver

    def one_or_none(self, statement: FixedStatement, values: Mapping[str, Any]) -> Any:
        """See `SingleStatements`."""
        cursor = psycopg.RawCursor(self._driver)
        text, given = statement.text, statement.numbered(values)
        for listener in self._engine.dispatch.before_cursor_execute:
            # Whoever counts or traces the engine's statements sees these too.
            text, given = listener(None, cursor, text, given, None, False)
        cursor.execute(text, given, prepare=True)
        found = cursor.fetchone()
        if cursor.rowcount > 1:
            raise MultipleResultsFound("a fixed statement is about one row")
        return None if found is None else statement.read(found[0])


@contextmanager
def on_driver(engine: Engine) -> Iterator[OnDriver]:
    """Take a connection out of the engine's pool for single statements. Errors are SQLAlchemy's, as everywhere."""
    taken = None
    try:
        taken = engine.raw_connection()
        driver = taken.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.set_autocommit(True)
        yield OnDriver(engine, driver)
    except psycopg.Error as error:
        raise _translated(error, is_lost=taken is not None and _is_lost(taken)) from error
    finally:
        if taken is not None:
            _give_back(taken)


def _is_lost(taken: PoolProxiedConnection) -> bool:
    driver = taken.driver_connection
    return driver is None or driver.closed or driver.broken


def _give_back(taken: PoolProxiedConnection) -> None:
    driver = taken.driver_connection
    try:
        if driver is not None and driver.autocommit:
            driver.set_autocommit(False)
    except psycopg.Error as error:
        taken.invalidate(error)
    taken.close()


def _translated(error: psycopg.Error, *, is_lost: bool) -> BaseException:
    return DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost)


def _reader(column: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    assert not isinstance(column.type, LargeBinary), "JSON has no bytes"
    reader: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return reader


def _writer(parameter: BindParameter[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    if isinstance(parameter.type, LargeBinary):
        return None  # both drivers take bytes
    return parameter.type.dialect_impl(dialect).bind_processor(dialect)


def _compiler_of(dialect: Dialect) -> type[SQLCompiler]:
    """The dialect's compiler, writing every parameter that has a value as a literal."""

    class Writer(dialect.statement_compiler):  # type: ignore[name-defined,misc]
        def visit_bindparam(self, bindparam: Any, literal_binds: bool = False, **options: Any) -> Any:
            is_constant = not bindparam.required
            return super().visit_bindparam(bindparam, literal_binds=is_constant or literal_binds, **options)

    return Writer
