"""Reading values inside the statement that they govern: a decision counts for every statement that begins after it.

One look at a tiny table per statement, however many values it needs: no round trip, no cache that could be old, no node
that has not heard yet (docs/adr/0010).
"""

from sqlalchemy import BigInteger, ColumnElement, String, func, literal_column, select

from idp.db.models import PolicyValue
from idp.policy.knobs import KNOBS

SIGN_IN_AGAIN_SINCE = "sign_in_again_since"
_NAMES = (*(knob.name for knob in KNOBS if knob.is_for_everyone), SIGN_IN_AGAIN_SINCE)


def _value_of(name: str) -> ColumnElement[int]:
    is_it = PolicyValue.name == literal_column(f"'{name}'", String())
    return func.max(PolicyValue.value).filter(is_it).label(name)


# One row, whatever was decided: an aggregate without groups has one even over no rows. A statement that mentions a
# column of it has it among its tables; databases work out those columns only that are mentioned.
DECIDED = select(*(_value_of(name) for name in _NAMES)).subquery("decided")


def value_in_force(name: str, default: int) -> ColumnElement[int]:
    """SQL: the installation's value of a knob as an integer, or `default` when nothing was decided.

    The default is spelled out in the statement: carrying parameters would cost more than the look. `KeyError` for a
    name that is no knob of the installation.
    """
    return func.coalesce(DECIDED.c[name], literal_column(str(int(default)), BigInteger()))
