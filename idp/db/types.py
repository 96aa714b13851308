"""Column types that mean the same on SQLite and PostgreSQL.

Moments and durations are stored as whole microseconds in BIGINT columns: comparisons never depend on a text format or a
session time zone, and "started_at + lifetime" is plain arithmetic inside one UPDATE on both databases, which is what
lets session ends be computed from today's policy (docs/adr/0006-times-as-microseconds.md).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, String, Text, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine

from idp.kit.identifiers import IDENTIFIER_LENGTH

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 of an aware moment."""
    if moment.tzinfo is None:
        raise ValueError("a moment must be aware")
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Inverse of `to_microseconds`: an aware UTC moment."""
    return _EPOCH + timedelta(microseconds=value)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware moment, stored as microseconds since 1970 (UTC)."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Aware datetime → integer."""
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Integer → aware UTC datetime."""
        return None if value is None else from_microseconds(value)


class Duration(TypeDecorator[timedelta]):
    """A length of time, stored as microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """timedelta → integer."""
        return None if value is None else value // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> timedelta | None:
        """Integer → timedelta."""
        return None if value is None else timedelta(microseconds=value)


class Words(TypeDecorator[tuple[str, ...]]):
    """An ordered set of OAuth words (scopes, grant types), stored as ` a b ` so that SQL can ask for one of them.

    The spaces at both ends make "contains ` b `" exact (RFC 6749 §3.3: words never contain spaces).
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        """("a", "b") → " a b "."""
        return None if value is None else "".join(f" {word}" for word in value) + " "

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...] | None:
        """ " a b " → ("a", "b")."""
        return None if value is None else tuple(value.split())


class _Position(GenericFunction[int]):
    """1-based position of the second text in the first, case-sensitive, 0 when absent (LIKE ignores case on SQLite)."""

    inherit_cache = True
    type = BigInteger()
    name = "idp_position"


@compiles(_Position, "sqlite")
def _position_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def has_word(column: Any, word: str | ColumnElement[str]) -> ColumnElement[bool]:
    """SQL: whether a `Words` column contains the word, exactly and case-sensitively.

    A parameter in place of the word brings the spaces at both ends itself.
    """
    return _Position(type_coerce(column, Text), f" {word} " if isinstance(word, str) else word) > 0


def micros(expression: Any) -> ColumnElement[int]:
    """SQL: the bare integer of a moment or duration column, for arithmetic."""
    return type_coerce(expression, BigInteger)


def Identifier() -> TypeEngine[str]:  # noqa: N802 - reads as a column type
    """The 26-character identifier of `idp.kit.identifiers`; byte order on both databases."""
    from sqlalchemy.dialects.postgresql import VARCHAR

    return String(IDENTIFIER_LENGTH).with_variant(VARCHAR(IDENTIFIER_LENGTH, collation="C"), "postgresql")
