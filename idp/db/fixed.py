"""Statements that are written once per process and then only sent: for the hot paths.

SQLAlchemy makes a statement's text, binds its constants and reads its result's description at every execution; on a
path that is one statement that is most of the cost. Here a Core expression becomes text once, its constants in it as
literals, and its rows are converted by the columns' own types. The expression stays the one home of the rule.

Constants must be ours: whatever comes from a request is a parameter without a value (`bindparam(name, type_=…)`).
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Dialect, LargeBinary, Select, Update, func
from sqlalchemy.sql.compiler import SQLCompiler


class FixedStatement:
    """A statement for one dialect. Safe for threads; keep it for as long as the process lives."""

    def __init__(self, statement: Select[Any] | Update, columns: Sequence[Any], dialect: Dialect) -> None:
        """`columns` are what it shall return, in order; none of them bytes."""
        self._is_packed = dialect.name == "postgresql"
        # SQLAlchemy and the driver describe every column of every result anew: on PostgreSQL there is only one.
        given = (func.json_build_array(*columns).label("packed"),) if self._is_packed else tuple(columns)
        if isinstance(statement, Update):
            whole: Any = statement.returning(*given)
        else:
            whole = statement.with_only_columns(*given, maintain_column_froms=True)
        # Numbered ($1) and named (:name) are what the two drivers take as it is; every other style is rewritten by one
        # of them at each execution, and psycopg remembers how only for statements below 4 kB.
        style = "numeric_dollar" if self._is_packed else "named"
        writer: Dialect = type(dialect)(paramstyle=style)  # type: ignore[call-arg]
        compiled = _compiler_of(dialect)(writer, whole)
        self._text, self._order = compiled.string, tuple(compiled.positiontup or ())
        self._row: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
        found = [_reader(column, dialect) for column in columns]
        self._readers = [(place, reader) for place, reader in enumerate(found) if reader is not None]

    def one_or_none(self, connection: Connection, parameters: dict[str, Any]) -> Any:
        """Execute it, and return its one row with attributes named as the columns, or None. Two rows are an error."""
        if not self._is_packed:
            found = connection.exec_driver_sql(self._text, parameters).one_or_none()
            return None if found is None else self._read(list(found))
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        usual, driver.cursor_factory = driver.cursor_factory, psycopg.RawCursor
        try:
            answer = connection.exec_driver_sql(self._text, tuple(parameters[name] for name in self._order))
            found = answer.one_or_none()
        finally:
            driver.cursor_factory = usual
        return None if found is None else self._read(found[0])

    def _read(self, values: list[Any]) -> Any:
        for place, read in self._readers:
            values[place] = read(values[place])
        return self._row._make(values)


def _reader(column: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    assert not isinstance(column.type, LargeBinary), "JSON has no bytes"
    reader: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return reader


def _compiler_of(dialect: Dialect) -> type[SQLCompiler]:
    """The dialect's compiler, writing every parameter that has a value as a literal."""

    class Writer(dialect.statement_compiler):  # type: ignore[name-defined,misc]
        def visit_bindparam(self, bindparam: Any, literal_binds: bool = False, **options: Any) -> Any:
            is_constant = not bindparam.required
            return super().visit_bindparam(bindparam, literal_binds=is_constant or literal_binds, **options)

    return Writer
