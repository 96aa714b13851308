"""How many outbound requests may run at once: few for one host, more in all, so that a slow host delays only itself.

A host that keeps a request waiting gets no further one meanwhile: otherwise fifty hosts that hang would take all slots
there are. Never waits: whoever gets no slot leaves the work for later. One instance per process, safe for threads.
"""

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """The key under which requests to `url` are counted: host and port in lower case, empty for an unreadable URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


class HostLimits:
    """Counts running requests per host and in all. A request that runs for `slow_after` seconds fills its host."""

    def __init__(
        self,
        *,
        per_host: int,
        total: int,
        slow_after: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_host < 1 or total < 1:
            raise ValueError("limits start at 1")
        self._per_host = per_host
        self._total = total
        self._slow_after = slow_after
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        # When each host's requests began, the oldest first.
        self._began: defaultdict[str, deque[float]] = defaultdict(deque)

    def try_acquire(self, host: str) -> bool:
        """Take a slot for `host`; False when there is none. Every True must be followed by one `release`."""
        with self._lock:
            now = self._clock()
            if self._running >= self._total or self._is_full(self._began.get(host), now):
                return False
            self._began[host].append(now)
            self._running += 1
            return True

    def release(self, host: str) -> None:
        """Give the slot back. Raises RuntimeError when `host` holds none."""
        with self._lock:
            began = self._began.get(host)
            if not began:
                raise RuntimeError(f"no slot is taken for {host}")
            began.popleft()  # nearly always the one that ended; if not, the host is taken for quicker than it is
            self._running -= 1
            if not began:
                del self._began[host]

    def find_full_hosts(self) -> frozenset[str]:
        """The hosts that would get no slot now because of their own limit."""
        with self._lock:
            now = self._clock()
            return frozenset(host for host, began in self._began.items() if self._is_full(began, now))

    def _is_full(self, began: deque[float] | None, now: float) -> bool:
        if not began:
            return False
        return len(began) >= self._per_host or now - began[0] >= self._slow_after
