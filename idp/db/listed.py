"""A list of texts as one parameter of a statement, whose text so stays the same however long the list is.

SQLAlchemy's own lists become as many parameters as they have members, in a text made anew at each execution, which the
driver reads and the server prepares anew. PostgreSQL gets an array; SQLite, which has none, JSON.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Boolean, ColumnElement, Dialect, String, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine


def is_listed(column: Any, name: str) -> ColumnElement[bool]:
    """SQL: whether the column, of texts, is one of the list that the parameter `name` holds."""
    return _IsListed(column, bindparam(name, type_=_Texts()))


class _Texts(TypeDecorator[Sequence[str]]):
    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(String()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        assert value is not None
        return list(value) if dialect.name == "postgresql" else json.dumps(list(value))


class _IsListed(GenericFunction[bool]):
    inherit_cache = True
    type = Boolean()
    name = "idp_is_listed"

    def self_group(self, against: Any = None) -> Any:
        """As it is: of other functions SQLAlchemy writes "… = 1" for SQLite, which then uses no index."""
        return self


@compiles(_IsListed, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, texts = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({texts})"


@compiles(_IsListed, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, texts = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - a name and a placeholder
