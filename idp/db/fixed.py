"""Statements that are written once per process and then only sent, each a transaction of its own: for the hot paths.

SQLAlchemy makes a statement's text, binds its constants, sets a connection up and describes its result at every
execution; on a path that is one statement that is most of the cost. Here a Core expression becomes text once, its
constants in it as literals, and what its parameters look like on the way is known beforehand (docs/adr/0016, 0018).
`idp.db.driver` sends it to PostgreSQL. The expression stays the one home of the rule.

Constants must be ours: whatever comes from a request is a parameter without a value (`bindparam(name, type_=…)`).
"""

import hashlib
import json
import struct
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    JSON,
    Connection,
    Dialect,
    Insert,
    Integer,
    LargeBinary,
    Select,
    String,
    TypeDecorator,
    Update,
    func,
)
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

_to_python = json.JSONDecoder().decode


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
        # One value to fetch, and JSON's parser makes all the others of it at once.
        given = (func.json_build_array(*columns).label("packed"),) if is_packed else tuple(columns)
        if isinstance(statement, Select):
            whole: Any = statement.with_only_columns(*given, maintain_column_froms=True)
        else:
            whole = statement.returning(*given)
        # Numbered ($1) and named (:name) are what libpq and SQLite take as it is.
        writer: Dialect = type(dialect)(paramstyle="numeric_dollar" if is_packed else "named")  # type: ignore[call-arg]
        compiled = _compiler_of(dialect)(writer, whole)
        self.text = compiled.string
        # By its text: whatever proxy mixes up connections, a name never stands for another statement.
        self.name = b"idp_" + hashlib.sha256(self.text.encode()).hexdigest()[:32].encode()
        order = compiled.positiontup or []
        given_types = {name: bind.type for name, bind in compiled.binds.items() if bind.required}
        self._named = {name: _writer(kind, dialect) for name, kind in given_types.items()}
        wire = [(name, *_wire(given_types[name], dialect)) for name in order]
        self._wire = [(name, write) for name, _, write in wire]
        # As libpq wants them beside the values: their types by PostgreSQL's numbers, and that all are binary.
        self.kinds = [kind for _, kind, _ in wire]
        self.formats = [1] * len(wire)
        kind: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
        self._row: Callable[[Iterable[Any]], Any] = row or kind._make
        found = [_reader(column, dialect) for column in columns]
        self._readers = [(place, reader) for place, reader in enumerate(found) if reader is not None]

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the parameters as SQLAlchemy's driver takes them."""
        return {name: write(values[name]) for name, write in self._named.items()}

    def numbered(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The same, by the numbers of the parameters."""
        written = self.named(values)
        return tuple([written[name] for name, _ in self._wire])

    def written(self, values: Mapping[str, Any]) -> list[bytes | None]:
        """The values in PostgreSQL's binary form, by the numbers of the parameters."""
        return [write(values[name]) for name, write in self._wire]

    def unpack(self, packed: bytes) -> Any:
        """The row behind PostgreSQL's one column; as `read`."""
        return self.read(_to_python(packed.decode()))

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


def _reader(column: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    assert not isinstance(column.type, LargeBinary), "JSON has no bytes"
    reader: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return reader


def _writer(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    if isinstance(kind, LargeBinary):
        return bytes  # both drivers take them as they are
    return kind.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


# What our parameters are, PostgreSQL's number for it (pg_type.dat), and its binary form. Text too: in the other form
# libpq ends a text at its first NUL, and the database would be asked about another one.
_WIRE: tuple[tuple[type[TypeEngine[Any]], int, Callable[[Any], bytes]], ...] = (
    (Integer, 20, struct.Struct("!q").pack),
    (String, 1043, str.encode),
    (LargeBinary, 17, bytes),
    (JSON, 114, _json),
)


def _wire(kind: TypeEngine[Any], dialect: Dialect) -> tuple[int, Callable[[Any], bytes | None]]:
    before = kind.process_bind_param if isinstance(kind, TypeDecorator) else None
    inner = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    number, write = next((number, write) for wanted, number, write in _WIRE if isinstance(inner, wanted))
    if before is None:
        return number, write
    return number, lambda value: write(before(value, dialect))


def _compiler_of(dialect: Dialect) -> type[SQLCompiler]:
    """The dialect's compiler, writing every parameter that has a value as a literal."""

    class Writer(dialect.statement_compiler):  # type: ignore[name-defined,misc]
        def visit_bindparam(self, bindparam: Any, literal_binds: bool = False, **options: Any) -> Any:
            is_constant = not bindparam.required
            return super().visit_bindparam(bindparam, literal_binds=is_constant or literal_binds, **options)

    return Writer
