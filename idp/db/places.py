"""Places at the pool: some of a process's connections are kept for what ends access and for refreshes (design §1).

Whoever goes first takes no place; everybody else needs one, and there are fewer than connections. So pages that hang on
a slow statement can't keep an end waiting.
"""

import threading
from contextvars import ContextVar

from idp.db.silence import DatabaseBusy, Silence

# Whether what this thread does may use the connections that are kept back.
goes_first: ContextVar[bool] = ContextVar("goes_first", default=False)


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
        self._silence.check()
        if not self._free.acquire(timeout=self._timeout):
            raise DatabaseBusy("the connections that are left are kept for ends and refreshes")
        try:
            self._silence.check()  # who had the place may have waited in vain
        except DatabaseBusy:
            self._free.release()
            raise
        return True

    def give_back(self) -> None:
        """End of a visit for which `take` was True."""
        assert self._free is not None
        self._free.release()
