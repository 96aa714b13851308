"""How many attempts of one lane are under way, and how many more may start.

Owns the rule that an application that hangs delays the others by a tenth of a second at most: an older attempt no
longer counts against its lane. Refuses to know what an attempt is. Limits per host are `idp.kit.host_limits`.
"""

import threading
import time

# An attempt this old is waiting for a slow application: it stops counting against its lane, so that one lane full of
# hanging applications delays the next one by this long (docs/crash-tests.md).
SLOW_AFTER_SECONDS = 0.1
# How many slow attempts there may be on top, as a multiple of `deliveries_at_once`; each ends by its own deadline.
SLOW_FACTOR = 7


class LaneUse:
    """Who is under way in one lane, and since when."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}

    def room(self) -> int:
        """How many more may start now."""
        with self._lock:
            slow_since = time.monotonic() - SLOW_AFTER_SECONDS
            young = sum(began > slow_since for began in self._began.values())
            return max(0, min(self._at_once - young, self._at_once * (1 + SLOW_FACTOR) - len(self._began)))

    def enter(self, delivery_id: str) -> None:
        with self._lock:
            self._began[delivery_id] = time.monotonic()

    def leave(self, delivery_id: str) -> None:
        with self._lock:
            self._began.pop(delivery_id, None)
