"""Reading a value inside the statement that it governs: a decision counts for every statement that begins after it.

One look at a tiny table per value, made once per statement by both databases: no round trip, no cache that could be
old, no node that has not heard yet (docs/adr/0010).
"""

import re
from functools import lru_cache

from sqlalchemy import BigInteger, ColumnElement, String, func, literal_column, select

from idp.db.models import PolicyValue

_OUR_NAME = re.compile(r"[a-z_]{1,64}")


@lru_cache(maxsize=256)
def value_in_force(name: str, default: int) -> ColumnElement[int]:
    """SQL: the installation's value of a knob as an integer, or `default` when nothing was decided.

    Kept per name and default, and both spelled out in the statement instead of sent as parameters: making the
    expression and carrying parameters would cost more than the database's look. Names are our own, never input.
    """
    if not _OUR_NAME.fullmatch(name):
        raise ValueError("not the name of a policy value")
    is_it = PolicyValue.name == literal_column(f"'{name}'", String())
    decided = select(PolicyValue.value).where(is_it).scalar_subquery()
    return func.coalesce(decided, literal_column(str(int(default)), BigInteger()))
