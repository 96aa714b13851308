"""While the database lets everybody wait in vain, one at a time finds out whether it still does; others are told.

Nobody shall wait for longer than five seconds. Whoever stood in a queue (for a thread, a place, a connection) until
those in front gave up has waited as long as they have, and must not try as long once more. So for a moment after a
silence was noticed nobody tries, which empties the queues; then one does. Any answer to anybody ends it.
"""

import math
import threading
import time
from collections.abc import Callable

# For a process's queues to empty: refusing costs a millisecond or two.
PAUSE_SECONDS = 1.0
# Longer than a request waits for a connection or an answer. Who tries and is not heard of by then may have met nobody.
TRY_SECONDS = 5.0


class DatabaseBusy(Exception):
    """The database is locked by others, has no connection left, or does not answer: waiting longer is of no use."""


class Silence:
    """What the threads of one process know about it. Off, it costs one look at `is_on`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_on = False
        self._clock = clock
        self._lock = threading.Lock()
        self._noticed_at = self._tries_since = -math.inf
        self._who_tries: int | None = None

    def notice(self) -> None:
        """An answer or a connection did not come in time."""
        with self._lock:
            self.is_on, self._noticed_at = True, self._clock()
            if self._who_tries == threading.get_ident():
                self._who_tries = None

    def end(self) -> None:
        """There was an answer, be it a refusal."""
        with self._lock:
            self.is_on, self._who_tries = False, None

    def check(self) -> None:
        """Raise `DatabaseBusy` for all but the one that tries."""
        if self.is_on and not self._may_try():
            raise DatabaseBusy("the database does not answer")

    def _may_try(self) -> bool:
        me, now = threading.get_ident(), self._clock()
        with self._lock:
            if not self.is_on or self._who_tries == me:
                return True
            is_tried = self._who_tries is not None and now - self._tries_since < TRY_SECONDS
            if is_tried or now - self._noticed_at < PAUSE_SECONDS:
                return False
            self._who_tries, self._tries_since = me, now
            return True
