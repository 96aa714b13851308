"""The only place that reads the wall clock.

Every rule receives `now` as an argument; entries (a route, a command, a worker step) ask the clock once, so that
one decision is made against one moment, and tests move time by hand.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> datetime:
        """The present moment: aware, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment: aware, UTC, microsecond resolution."""
        return datetime.now(UTC)


def whole_second_after(moment: datetime) -> datetime:
    """Return `moment` rounded up to a whole second: JWT times are whole seconds (RFC 7519 §2, NumericDate)."""
    whole = moment.replace(microsecond=0)
    return whole if whole == moment else datetime.fromtimestamp(int(whole.timestamp()) + 1, UTC)
