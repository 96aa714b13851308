"""Turns a host name into addresses within a bounded time, whatever the system's resolver does.

`getaddrinfo` has no time-out and can't be interrupted: a lookup that hangs keeps its thread. So each lookup runs in a
daemon thread of its own; whoever asks for a name that is being looked up waits for the same answer; and when `at_once`
names are under way, the next one is refused at once instead of queueing behind the stuck ones. Nothing is cached, and
whether an address may be dialed is not decided here.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence

from idp.kit.addresses import IPAddress, find_ip

SystemLookup = Callable[[str], Sequence[IPAddress]]


class NameNotFoundError(OSError):
    """The resolver answered that there is no such name, or no address for it."""


class LookupsExhaustedError(OSError):
    """Too many lookups are already waiting for the resolver; this one was not started."""


def look_up_with_system(host: str) -> Sequence[IPAddress]:
    """Every address the system's resolver knows for `host`, in the order in which to try them.

    Raises OSError (socket.gaierror) when there is none. May block for as long as the resolver likes.
    """
    # Bytes, because a str would first go through the IDNA 2003 codec; the host is ASCII already.
    answers = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    found = (find_ip(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in answers)
    return list(dict.fromkeys(address for address in found if address is not None))


class _Pending:
    """One lookup under way: set once, read by everyone who waits."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Sequence[IPAddress] | Exception = ()


class NameLookup:
    """Bounded name lookups; one instance per process, safe for threads."""

    def __init__(self, look_up: SystemLookup = look_up_with_system, *, at_once: int = 32) -> None:
        self._look_up = look_up
        self._at_once = at_once
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}

    def find_addresses(self, host: str, *, deadline: float) -> tuple[IPAddress, ...]:
        """The addresses of `host`, asked once, before `deadline` (time.monotonic seconds).

        Raises TimeoutError, NameNotFoundError or LookupsExhaustedError.
        """
        pending = self._join_or_start(host)
        if not pending.done.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError("the name lookup took too long")
        if isinstance(pending.outcome, (OSError, UnicodeError)):
            raise NameNotFoundError("the name could not be resolved") from pending.outcome
        if isinstance(pending.outcome, Exception):
            raise pending.outcome
        if not pending.outcome:
            raise NameNotFoundError("the name has no address")
        return tuple(pending.outcome)

    def _join_or_start(self, host: str) -> _Pending:
        with self._lock:
            if running := self._pending.get(host):
                return running
            if len(self._pending) >= self._at_once:
                raise LookupsExhaustedError("too many name lookups are already waiting for the resolver")
            pending = self._pending[host] = _Pending()
        try:
            threading.Thread(target=self._run, args=(host, pending), name="name-lookup", daemon=True).start()
        except RuntimeError as error:  # the process may start no more threads: the slot must not stay taken
            self._finish(host, pending, LookupsExhaustedError("no thread could be started for the name lookup"))
            raise LookupsExhaustedError("no thread could be started for the name lookup") from error
        return pending

    def _run(self, host: str, pending: _Pending) -> None:
        try:
            outcome: Sequence[IPAddress] | Exception = self._look_up(host)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits, in their own thread
            outcome = error
        self._finish(host, pending, outcome)

    def _finish(self, host: str, pending: _Pending, outcome: Sequence[IPAddress] | Exception) -> None:
        pending.outcome = outcome
        with self._lock:
            del self._pending[host]
        pending.done.set()
