"""How many outbound requests may run at once: few for one host, more in all, so that a slow host delays only itself.

Never waits: whoever gets no slot leaves the work for later. One instance per process, safe for threads.
"""

import threading
from collections import Counter
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """The key under which requests to `url` are counted: host and port in lower case, empty for an unreadable URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


class HostLimits:
    """Counts running requests per host and in all."""

    def __init__(self, *, per_host: int, total: int) -> None:
        if per_host < 1 or total < 1:
            raise ValueError("limits start at 1")
        self._per_host = per_host
        self._total = total
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def try_acquire(self, host: str) -> bool:
        """Take a slot for `host`; False when there is none. Every True must be followed by one `release`."""
        with self._lock:
            if self._running.total() >= self._total or self._running[host] >= self._per_host:
                return False
            self._running[host] += 1
            return True

    def release(self, host: str) -> None:
        """Give the slot back. Raises RuntimeError when `host` holds none."""
        with self._lock:
            if self._running[host] < 1:
                raise RuntimeError(f"no slot is taken for {host}")
            self._running[host] -= 1
            if not self._running[host]:
                del self._running[host]

    def find_full_hosts(self) -> frozenset[str]:
        """The hosts that would get no slot now because of their own limit."""
        with self._lock:
            return frozenset(host for host, count in self._running.items() if count >= self._per_host)
