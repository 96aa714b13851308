"""A second name for a table in a statement, safe to share between threads.

SQLAlchemy's `aliased` finds out about each column when it is first asked for, and keeps what it found. When two threads
ask first at once, one of them may find the table's own column instead, silently, and the alias keeps that for as long
as the process lives: the condition is then about any row. An alias of one call needs none of this.
"""

from typing import TypeVar

from sqlalchemy import inspect
from sqlalchemy.orm import aliased

from idp.db.models import Base

Row = TypeVar("Row", bound=Base)


def shared_alias(model: type[Row]) -> type[Row]:
    """An alias of `model` for a module to keep: every column is looked up here, by the one thread that imports."""
    alias = aliased(model)
    for name in inspect(model).columns.keys():  # noqa: SIM118 - not a dictionary
        assert getattr(alias, name).expression is not None
    return alias
