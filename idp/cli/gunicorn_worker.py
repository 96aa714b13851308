"""Gunicorn's threaded worker, with a thread only for requests that are here: slow clients wait in the poller.

Gunicorn's own gives a thread to each connection, which then waits for the rest of a request without end: as many half
requests as threads stop the service. Here the loop reads without blocking, a request gets one deadline from its first
moment (sending byte by byte does not move it) and then 408 (RFC 9110 §15.5.9), and a thread is asked only when all is
here. The ends of connections, too, are waited for in the poller; gunicorn's loop would stand still for two seconds
each. Who reads the answer slowly finds it in the kernel's buffer, or is cut off. New connections go to the process that
has the fewest (`idp.cli.fair_share`). No TLS, no HTTP/2: a proxy has them.
"""

import socket
import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.body import ChunkedReader  # type: ignore[import-untyped]
from gunicorn.http.errors import NoMoreData  # type: ignore[import-untyped]
from gunicorn.http.unreader import Unreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    STOP_KEEPALIVE_LINGER,
    ThreadWorker,
)

from idp.cli.arrival import Arrival, Stage
from idp.cli.fair_share import PATIENCE_SECONDS, Counts, Share, shared_counts
from idp.kit.logs import remember_request

# For the whole request, from the connection or its first byte on.
REQUEST_SECONDS = 30.0
# For each piece of an answer that does not fit into the kernel's buffer.
ANSWER_SECONDS = 10.0
# Holds any page of ours: the kernel delivers it while the thread serves the next.
ANSWER_BUFFER = 256 * 1024
CLOSING_SECONDS = 2.0
CLOSING_BYTES = 64 * 1024
_READ = 64 * 1024

_REFUSALS = {
    Stage.PARTIAL: b"408 Request Timeout",
    Stage.HEAD_TOO_LARGE: b"431 Request Header Fields Too Large",
    Stage.BODY_TOO_LARGE: b"413 Content Too Large",
}
_REFUSAL = b"HTTP/1.1 %s\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n"


class ArrivedUnreader(Unreader):  # type: ignore[misc]
    """What the parser and the application read from: only what has arrived."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        """A malformed or refused request would need more: nobody waits for it, the connection closes."""
        raise NoMoreData


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """Reads requests in its loop, answers them in threads."""

    # Made by the parent with its first worker.
    counts: Counts | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if PatientWorker.counts is None:
            PatientWorker.counts = shared_counts(2 * self.cfg.workers + 2)  # while some stop, their successors are here
        self.share = Share(PatientWorker.counts)
        self.accept_at = 0.0
        self.was_asked = False
        # In the order of their deadlines, as all get the same time.
        self.arriving: dict[Any, Arrival] = {}
        self.closing: dict[Any, int] = {}

    def run(self) -> None:
        """The loop; accepted connections inherit the buffer's size from the listening one."""
        for listener in self.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ANSWER_BUFFER)
        super().run()

    # ── A connection arrives (loop) ───────────────────────────────────────────────────────────────────────────────

    def accept(self, listener: Any) -> None:
        """Take a connection, or leave it to a process that has fewer."""
        self.was_asked = True
        if self.share.should_wait(self.nr_conns):
            self.accept_at = time.monotonic() + PATIENCE_SECONDS
            self.set_accept_enabled(False)
            return
        super().accept(listener)
        self.share.tell(self.nr_conns)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Called at each turn of the loop while it should accept and does not."""
        super().set_accept_enabled(enabled and time.monotonic() >= self.accept_at)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of the loop."""
        if self.alive and not self._accepting and self.nr_conns < self.worker_connections:
            timeout = min(timeout, max(0.0, self.accept_at - time.monotonic()))
        was_open, self.was_asked = self._accepting, False
        super().wait_for_and_dispatch_events(timeout)
        if was_open and not self.was_asked:
            self.share.nobody_waits()
        if self.alive:
            self.share.tell(self.nr_conns)
        else:
            self.share.leave()

    # ── A request arrives (loop) ──────────────────────────────────────────────────────────────────────────────────

    def enqueue_req(self, conn: Any) -> None:
        """A new connection, a kept one with something to read, or one with a further request already read."""
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + REQUEST_SECONDS
        arrival = Arrival()
        stage = Stage.PARTIAL
        if conn.parser is not None and (read_ahead := conn.parser.unreader.take_buffered()):
            stage = arrival.add(read_ahead)
        self.arriving[conn] = arrival
        self.poller.register(conn.sock, EVENT_READ, partial(self._take, conn))
        if stage is Stage.PARTIAL:
            self._take(conn, conn.sock)
        else:
            self._go_on(conn, arrival, stage)

    def _take(self, conn: Any, _socket: Any) -> None:
        """Take what is there, once: the poller comes back when there is more."""
        arrival = self.arriving[conn]
        try:
            data = conn.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(conn)
            self._close(conn)
            return
        self._go_on(conn, arrival, arrival.add(data))

    def _go_on(self, conn: Any, arrival: Arrival, stage: Stage) -> None:
        if stage is Stage.PARTIAL:
            if arrival.expects_continue:
                arrival.expects_continue = False
                _send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._forget(conn)
        if stage is not Stage.WHOLE:
            self._refuse(conn, stage)
            return
        conn.init()
        if not isinstance(conn.parser.unreader, ArrivedUnreader):
            conn.parser.unreader = ArrivedUnreader()
        conn.parser.unreader.unread(bytes(arrival.data))
        super().enqueue_req(conn)

    def murder_pending(self) -> None:
        """Called at each turn of the loop: whose time is over."""
        now = time.monotonic()
        # A stopping worker waits for requests that have begun, and as briefly as gunicorn for the others.
        stopping = not self.alive
        for conn, arrival in list(self.arriving.items()):
            if stopping and not arrival.data:
                conn.timeout = min(conn.timeout, now + STOP_KEEPALIVE_LINGER)
            if conn.timeout <= now:
                self._forget(conn)
                if arrival.data:
                    self._refuse(conn, Stage.PARTIAL)
                else:
                    self._close(conn)  # a browser that connects in advance would take a 408 for an answer
            elif not stopping:
                break
        for conn in [conn for conn in self.closing if conn.timeout <= now]:
            self._end(conn)

    def _refuse(self, conn: Any, stage: Stage) -> None:
        _send(conn, _REFUSAL % _REFUSALS[stage])
        self._half_close(conn)

    def _forget(self, conn: Any) -> None:
        del self.arriving[conn]
        self.poller.unregister(conn.sock)

    # ── A request is answered (thread) ────────────────────────────────────────────────────────────────────────────

    def handle(self, conn: Any) -> Any:
        """As gunicorn does. What it says of a request that it can't parse is not about the one before."""
        remember_request("")
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """As gunicorn does, but nobody stops reading the answer for ever, and malformed chunks are 400 before the
        application could meet them."""
        conn.sock.settimeout(ANSWER_SECONDS)
        if isinstance(req.body.reader, ChunkedReader):
            req.body.buf.write(req.body.read())
        req._expected_100_continue = False  # noqa: SLF001 - said already, or the answer comes instead
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            self.log.info("A client did not read its answer.")
            return False

    # ── A connection ends (loop) ──────────────────────────────────────────────────────────────────────────────────

    def finish_request(self, conn: Any, fs: Any) -> None:
        """After an answer: keep the connection, or close it."""
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._half_close(conn)
        else:
            super().finish_request(conn, fs)

    def _half_close(self, conn: Any) -> None:
        """RFC 9112 §9.6: say that nothing follows, and let the client close, or a reset could destroy the answer."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):
            self._close(conn)
            return
        conn.timeout = time.monotonic() + CLOSING_SECONDS
        self.closing[conn] = 0

    def _drain(self, conn: Any, _socket: Any) -> None:
        try:
            data = conn.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.closing[conn] += len(data)
        if not data or self.closing[conn] > CLOSING_BYTES:
            self._end(conn)

    def _end(self, conn: Any) -> None:
        del self.closing[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


def _send(conn: Any, data: bytes) -> None:
    """A few bytes to somebody who may be gone."""
    try:
        conn.sock.send(data)
    except OSError:
        return
