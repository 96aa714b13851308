"""Places at the pool: some of a process's connections are kept for what ends access and for refreshes (design §1).

Whoever goes first takes no place; everybody else needs one, and there are fewer than connections. So pages that hang on
a slow statement can't keep an end waiting.
"""

import threading
from contextvars import ContextVar

# Whether what this thread does may use the connections that are kept back.
goes_first: ContextVar[bool] = ContextVar("goes_first", default=False)


class DatabaseBusy(Exception):
    """The embedded database stayed locked by other writers, or no connection became free, for longer than we wait."""


class Places:
    """`number` of them; None: as many as there are connections. `timeout` in seconds."""

    def __init__(self, number: int | None, timeout: float) -> None:
        self._free = threading.Semaphore(number) if number is not None else None
        self._timeout = timeout

    def take(self) -> bool:
        """Wait for a place. True: it must be given back; False: none is needed. Raises `DatabaseBusy`."""
        if self._free is None or goes_first.get():
            return False
        if not self._free.acquire(timeout=self._timeout):
            raise DatabaseBusy("the connections that are left are kept for ends and refreshes")
        return True

    def give_back(self) -> None:
        """End of a visit for which `take` was True."""
        assert self._free is not None
        self._free.release()
