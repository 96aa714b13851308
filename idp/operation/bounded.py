"""`Bounded`: a slow question, asked by one thread at a time, at most once a second, and answered in bounded time.

What machines ask every few seconds must never become a load, and a database that hangs (a host that vanished, where no
time-out of the server's can help) must cost one waiting thread and not all of them.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Generic, TypeVar

T = TypeVar("T")

BOUND_SECONDS = 2.0
FRESH_SECONDS = 1.0


class Bounded(Generic[T]):
    """Asks `question` and remembers its answer for a second. `question` must not raise. Safe for threads."""

    def __init__(
        self,
        question: Callable[[], T],
        *,
        too_late: T,
        bound_seconds: float = BOUND_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._question = question
        self._too_late = too_late
        self._bound_seconds = bound_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: Future[T] | None = None
        self._last: tuple[float, T] | None = None

    def ask(self) -> T:
        """The answer of now or of less than a second ago; `too_late` when there is none after `bound_seconds`."""
        with self._lock:
            if self._last is not None and self._monotonic() - self._last[0] < FRESH_SECONDS:
                return self._last[1]
            if self._running is None:
                self._running = Future()
                threading.Thread(target=self._run, args=(self._running,), name="bounded", daemon=True).start()
            running = self._running
        try:
            return running.result(self._bound_seconds)
        except FutureTimeout:
            return self._too_late

    def _run(self, future: Future[T]) -> None:
        answer = self._too_late
        try:
            answer = self._question()
        finally:
            with self._lock:
                self._last, self._running = (self._monotonic(), answer), None
            future.set_result(answer)
