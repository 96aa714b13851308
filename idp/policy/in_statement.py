"""Reading a value inside the statement that it governs: a decision counts for every statement that begins after it.

One look at a tiny table per value, made once per statement by both databases: no round trip, no cache that could be
old, no node that has not heard yet (docs/adr/0010).
"""

from functools import lru_cache

from sqlalchemy import ColumnElement, func, select

from idp.db.models import PolicyValue


@lru_cache(maxsize=256)
def value_in_force(name: str, default: int) -> ColumnElement[int]:
    """SQL: the installation's value of a knob as an integer, or `default` when nothing was decided.

    Kept per name and default: making the expression costs more than the database's look.
    """
    decided = select(PolicyValue.value).where(PolicyValue.name == name).scalar_subquery()
    return func.coalesce(decided, default)
