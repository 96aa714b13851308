"""How many connections each of gunicorn's processes holds, in memory that they share: who has more lets others take the
next one.

All processes wait at one door, and whoever wakes first takes everybody in: of thirty-two connections that a proxy opens
and keeps, one process may get all, and use one core while the others sleep (docs/adr/0014). Nothing depends on the
counts being right: who waited in vain takes the connection.
"""

import mmap
import time
from typing import Protocol

_NOBODY = -1
# As long as a process with busy threads needs to come to its loop.
PATIENCE_SECONDS = 0.02
# Who waited in vain takes one, the next time two, four, …: a process that hangs delays hardly anybody.
_MOST_IN_VAIN = 1024


class Counts(Protocol):
    """A row of numbers."""

    def __getitem__(self, place: int, /) -> int: ...
    def __setitem__(self, place: int, value: int, /) -> None: ...
    def __len__(self) -> int: ...


def shared_counts(places: int) -> Counts:
    """Numbers that processes forked from this one share with it; nobody is there yet."""
    counts = memoryview(mmap.mmap(-1, 4 * places)).cast("i")
    for place in range(places):
        counts[place] = _NOBODY
    return counts


class Share:
    """The place of one process. Made before the fork, by the parent, which alone gives places away."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        # More processes than places (somebody sent SIGTTIN again and again): these do as gunicorn does.
        self._place = next((place for place in range(len(counts)) if counts[place] == _NOBODY), None)
        self._others = [place for place in range(len(counts)) if place != self._place]
        self._waits_since: float | None = None
        self._in_vain, self._taken_along = 1, 0
        self.tell(0)

    def tell(self, connections: int) -> None:
        """So many are held here."""
        if self._place is not None:
            self._counts[self._place] = connections

    def leave(self) -> None:
        """No connection is taken here any more."""
        self.tell(_NOBODY)

    def should_wait(self, connections: int, now: float | None = None) -> bool:
        """Whether a connection at the door is left to the others for `PATIENCE_SECONDS`, with so many held here."""
        now = time.monotonic() if now is None else now
        if self._place is None or not self._somebody_has_fewer(connections):
            self._be_relieved()
            return False
        if self._taken_along > 0:
            self._taken_along -= 1
            return False
        if self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < PATIENCE_SECONDS:
            return True
        self._waits_since = None
        self._taken_along = self._in_vain - 1
        self._in_vain = min(2 * self._in_vain, _MOST_IN_VAIN)
        return False

    def nobody_waits(self) -> None:
        """Nothing is at the door: what was left to the others has been taken."""
        if self._waits_since is not None:
            self._be_relieved()

    def _be_relieved(self) -> None:
        self._waits_since = None
        self._in_vain, self._taken_along = 1, 0

    def _somebody_has_fewer(self, connections: int) -> bool:
        return any(_NOBODY < self._counts[place] < connections for place in self._others)
