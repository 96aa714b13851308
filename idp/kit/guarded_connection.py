"""HTTP/1.1 connections to addresses that were checked before, with one deadline and one byte limit for everything.

Owns the sockets under urllib3: they dial the given addresses and nothing else (no second name lookup, so no DNS
rebinding), while TLS still asks for and verifies the host's name. urllib3's own time-outs are per read, which lets a
server that drips one byte a second hold us for ever; here every single send and receive gets what is left of the
deadline. Which addresses are fit to dial is `idp.kit.outbound`'s business.
"""

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from idp.kit.addresses import IPAddress


class TooMuchReceivedError(Exception):
    """The other side sent more bytes than the limit, headers and chunk framing included."""


class _LimitedIO:
    """Mixed into a socket: the deadline (time.monotonic seconds) and the bytes it may still receive."""

    deadline: float = 0.0
    bytes_left: int = 0

    def use_remaining_time(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the time for this request is used up")
        self.settimeout(remaining)  # type: ignore[attr-defined]

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.use_remaining_time()
        count: int = super().recv_into(*args, **kwargs)  # type: ignore[misc]
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise TooMuchReceivedError
        return count

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.use_remaining_time()
        count: int = super().send(*args, **kwargs)  # type: ignore[misc]
        return count

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.use_remaining_time()
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class _LimitedSocket(_LimitedIO, socket.socket):
    pass


class _LimitedTLSSocket(_LimitedIO, ssl.SSLSocket):
    pass


def make_tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifying context: the certificates of `ca_file` (PEM), or the system's; TLS 1.2 at least.

    Raises OSError (ssl.SSLError included) when the file can't be read as certificates.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525 §2
    context.sslsocket_class = _LimitedTLSSocket
    return context


@dataclass(frozen=True)
class Dial:
    """Where a connection really goes, whatever the host in its URL says, and within which limits."""

    addresses: Sequence[IPAddress]
    port: int
    deadline: float
    byte_limit: int

    def open(self) -> _LimitedSocket:
        """A connected socket to the first address that answers. Raises OSError (TimeoutError at the deadline)."""
        trouble: OSError | None = None
        for tried, address in enumerate(self.addresses):
            share = (self.deadline - time.monotonic()) / (len(self.addresses) - tried)
            if share <= 0:
                raise TimeoutError("the time for this request is used up")
            try:
                return self._connect(address, share)
            except OSError as error:  # the next address may do: one family can be unreachable from here
                trouble = error
        raise trouble or OSError("there is no address to dial")

    def _connect(self, address: IPAddress, seconds: float) -> _LimitedSocket:
        sock = _LimitedSocket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(seconds)
            sock.connect((str(address), self.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        self.limit(sock)
        return sock

    def limit(self, sock: object) -> None:
        """Put the limits on a socket of ours; a TLS socket is a new object and gets them again."""
        if not isinstance(sock, _LimitedIO):
            raise TypeError("the connection has a socket without limits")
        sock.deadline, sock.bytes_left = self.deadline, self.byte_limit
        sock.use_remaining_time()


class GuardedHTTPConnection(HTTPConnection):
    """urllib3's connection, dialing only the addresses of `dial`."""

    def __init__(self, host: str, port: int, *, dial: Dial) -> None:
        super().__init__(host, port)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial.open()


class GuardedHTTPSConnection(HTTPSConnection):
    """urllib3's TLS connection, dialing only the addresses of `dial`; the certificate must be for `host`."""

    def __init__(self, host: str, port: int, *, dial: Dial, context: ssl.SSLContext) -> None:
        super().__init__(host, port, ssl_context=context)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial.open()

    def connect(self) -> None:
        super().connect()
        self._dial.limit(self.sock)
