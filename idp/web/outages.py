"""What the log says while requests are answered 503: one line when it begins, and one a minute while it lasts.

A database that is away turns away every request: a traceback for each would bury the line that says why, and fill the
disk that may be the cause. Each answer is in the access log and the metrics all the same. One instance per process.
"""

import threading
import time
from collections.abc import Callable

import structlog

AGAIN_AFTER_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Outages:
    """Counts refusals per kind of trouble between two lines about it. `clock` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def tell(self, error: str, *, route: str) -> None:
        """Note that a request was refused, and log it unless that was said within the minute.

        `error` is "kind: what happened", without anything that a stranger or a driver quoted.
        """
        kind = error.partition(":")[0]
        now = self._clock()
        with self._lock:
            last = self._told_at.get(kind)
            if last is not None and now - last < AGAIN_AFTER_SECONDS:
                self._untold[kind] = self._untold.get(kind, 0) + 1
                return
            self._told_at[kind] = now
            untold = self._untold.pop(kind, 0)
        log.error("unavailable", error=error, route=route, **({"more_since_last_line": untold} if untold else {}))
