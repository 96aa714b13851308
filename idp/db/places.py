"""Places at the pool: some of a process's connections are kept for what ends access and for refreshes (design §1).

Whoever goes first takes no place; everybody else needs one, and there are fewer than connections. So pages that hang on
a slow statement can't keep an end waiting.
"""

import math
import threading
import time
from contextvars import ContextVar

# Whether what this thread does may use the connections that are kept back.
goes_first: ContextVar[bool] = ContextVar("goes_first", default=False)


class DatabaseBusy(Exception):
    """The embedded database stayed locked by other writers, or no connection became free, for longer than we wait."""


class Silence:
    """When the database last let somebody wait in vain: whoever queued behind them must not wait as long once more."""

    def __init__(self) -> None:
        self._noticed_at = -math.inf

    def notice(self) -> None:
        """An answer or a connection did not come in time."""
        self._noticed_at = time.monotonic()

    def fell_since(self, began: float) -> bool:
        """Whether that happened after `began`, a moment of the monotonic clock."""
        return self._noticed_at > began


class Places:
    """`number` of them; None: as many as there are connections. `timeout` in seconds."""

    def __init__(self, number: int | None, timeout: float, silence: Silence | None = None) -> None:
        self._free = threading.Semaphore(number) if number is not None else None
        self._timeout = timeout
        self._silence = silence or Silence()

    def take(self) -> bool:
        """Wait for a place. True: it must be given back; False: none is needed. Raises `DatabaseBusy`."""
        if self._free is None or goes_first.get():
            return False
        began = time.monotonic()
        if not self._free.acquire(timeout=self._timeout):
            raise DatabaseBusy("the connections that are left are kept for ends and refreshes")
        if self._silence.fell_since(began):
            self._free.release()
            raise DatabaseBusy("the database did not answer those who were here first")
        return True

    def give_back(self) -> None:
        """End of a visit for which `take` was True."""
        assert self._free is not None
        self._free.release()
