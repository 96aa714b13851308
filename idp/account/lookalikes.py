"""How exactly to say when somebody signed in, so that two copies of one tool can be told apart. Pure.

A person knows their copies by when they made them ("the one from this morning"), so what tells them apart is the time,
and not a number: "(2)" would move to another copy when the first is signed out.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

# The reader's day is not ours: whatever is less than a day apart may be on one day for them.
_DAY = timedelta(days=1)


class Exactness(StrEnum):
    """What is said of the moment; each is also a form that `static/site.js` knows."""

    DAY = "day"
    MINUTE = "minute"
    SECOND = "full"


def how_exact(rows: Sequence[tuple[str, datetime]], *, at_least: Exactness = Exactness.DAY) -> list[Exactness]:
    """For each (title, moment) what must be said of the moment among all of them, in their order."""
    by_title: dict[str, list[datetime]] = defaultdict(list)
    for title, moment in rows:
        by_title[title].append(moment)
    return [_exactness(moment, by_title[title], at_least) for title, moment in rows]


def _exactness(moment: datetime, alike: list[datetime], at_least: Exactness) -> Exactness:
    near = [other for other in alike if abs(other - moment) < _DAY]
    if len(near) == 1:
        return at_least
    minute = moment.replace(second=0, microsecond=0)
    is_shared = sum(other.replace(second=0, microsecond=0) == minute for other in near) > 1
    return Exactness.SECOND if is_shared else Exactness.MINUTE
