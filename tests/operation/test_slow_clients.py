"""Real processes against clients that send or read slowly: the others are served meanwhile, and the slow are cut off.

More connections than threads hold each kind of half request. Time is short, or long where nobody may be cut off
yet. What counts as a whole request: tests/operation/test_arrival.py.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import parse_headers
from pathlib import Path

import pytest

from tests.operation.nodes import BODY, Node, make_service
from tests.support.processes import until

THREADS = 8  # of a `Node`: two processes with four each
LONG_LINE = b"x" * 4_000
HALVES = {
    "nothing": b"",
    "half a request line": b"GET /login HT",
    "half the headers": b"GET /login HTTP/1.1\r\nHost: x\r\nX-Slow: ye",
    "half a body": b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\ngrant_",
    "half a chunk": b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ngrant_",
}


@contextmanager
def running(folder: Path, seconds: str) -> Iterator[Node]:
    """A node whose clients have so many seconds for a request."""
    # Python runs it when it starts, in each of the node's processes: nothing in the product may be turned by a test.
    (folder / "sitecustomize.py").write_text(
        f"from idp.cli import gunicorn_worker\n\ngunicorn_worker.REQUEST_SECONDS = {float(seconds)}\n"
    )
    node = Node(folder, f"sqlite:///{folder}/idp.db", "node", PYTHONPATH=str(folder))
    node.run("init")
    try:
        node.start("--without-worker")
        yield node
    finally:
        node.end()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("patient"), "600") as node:
        yield node


@contextmanager
def connections(node: Node, number: int, *, small_window: bool = False) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        made = []
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            if small_window:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", node.port))
            made.append(connection)
        yield made


def answer(connection: socket.socket) -> tuple[int, bytes]:
    # Not `HTTPResponse`: its buffer would swallow the beginning of the next answer, when that has already come.
    with connection.makefile("rb", buffering=0) as unbuffered:
        status = int(unbuffered.readline().split()[1])
        length = int(parse_headers(unbuffered)["Content-Length"])
        body = b""
        while len(body) < length:
            part = unbuffered.read(length - len(body))
            assert part, "the answer ended early"
            body += part
    return status, body


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


def test_many_half_requests_of_every_kind_take_no_thread_from_the_others_and_are_served_when_complete(
    here: Node,
) -> None:
    headers = make_service(here)
    request = "".join(
        ["POST /oauth2/token HTTP/1.1\r\nHost: x\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items())]
    ).encode()
    request += b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with ExitStack() as stack:
        for half in [*HALVES.values(), b"GET / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"]:
            for slow in stack.enter_context(connections(here, 3 * THREADS)):
                slow.sendall(half)
        (dripping,) = stack.enter_context(connections(here, 1))
        for position in range(len(request) - 1):
            dripping.sendall(request[position : position + 1])

        assert [here.status("/login") for _ in range(20)] == [200] * 20
        dripping.sendall(request[-1:])
        status, body = answer(dripping)

        assert status == 200
        assert json.loads(body)["access_token"]


def test_slow_requests_get_408_after_one_deadline_that_sending_byte_by_byte_does_not_move(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(running(tmp_path, "2"))
        slow = {name: stack.enter_context(connections(here, 1))[0] for name in HALVES}
        for name, connection in slow.items():
            connection.sendall(HALVES[name])
        (dripping,) = stack.enter_context(connections(here, 1))
        dripping.sendall(b"GET /login HTTP/1.1\r\nX-Slow: ")
        stopped = threading.Event()
        drips = threading.Thread(target=_drip, args=(dripping, stopped))
        drips.start()
        try:
            began = time.monotonic()
            assert everything(dripping).startswith(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n")
            assert time.monotonic() - began < 50
        finally:
            stopped.set()
            drips.join(30)

        for name, connection in slow.items():
            said = everything(connection)
            assert said.startswith(b"HTTP/1.1 408 Request Timeout") if HALVES[name] else said == b"", name
        assert here.status("/login") == 200
        assert "Traceback" not in here.log.read_text()


def _drip(connection: socket.socket, stopped: threading.Event) -> None:
    while not stopped.wait(0.1):
        try:
            connection.sendall(b"y")
        except OSError:
            return


def test_clients_that_do_not_read_their_answers_take_no_thread_from_the_others(here: Node) -> None:
    with connections(here, 3 * THREADS, small_window=True) as slow:
        for connection in slow:
            connection.sendall(b"GET /assets/site.css HTTP/1.1\r\nHost: x\r\n\r\n" * 8)

        assert [here.status("/login") for _ in range(20)] == [200] * 20

        assert answer(slow[0])[0] == 200


def test_clients_that_do_not_close_after_the_answer_do_not_stop_the_others(here: Node) -> None:
    with connections(here, 5 * THREADS) as slow:
        for connection in slow:
            connection.sendall(b"GET /login HTTP/9.9\r\n\r\n")
        began = time.monotonic()

        assert [here.status("/login") for _ in range(20)] == [200] * 20

        assert time.monotonic() - began < 20, "two seconds for each of them would be 40 in each process"
        assert all(everything(connection).startswith(b"HTTP/1.1 400") for connection in slow)


def test_requests_sent_at_once_are_answered_in_order_and_a_body_follows_100_continue(
    here: Node,
) -> None:
    with connections(here, 2) as (pipelined, asking):
        pipelined.sendall(
            b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\nGET /lo"
        )
        assert answer(pipelined)[0] == 200
        assert answer(pipelined)[0] == 404
        pipelined.sendall(b"gin HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(pipelined)[0] == 200

        asking.sendall(
            b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\n"
        )
        assert asking.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        asking.sendall(b"grant_type=x")
        status, body = answer(asking)
        assert status in {400, 401}
        assert "error" in json.loads(body)


def test_heads_and_bodies_without_end_are_refused_before_the_deadline(here: Node) -> None:
    post = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    endless = {
        b"GET /" + 3 * LONG_LINE: b"414",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, LONG_LINE) for number in range(20)): b"431",
        post + b"Content-Length: 99999999\r\n\r\n": b"413",
        post + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + b"x" * 0xFFFF + b"\r\nff\r\nxx": b"413",
        post + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000: b"413",
        post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n": b"400",
        post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n": b"400",
        post + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz0\r\n\r\n": b"400",
        post + b"Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n": b"400",
    }
    with connections(here, len(endless)) as opened:
        for connection, (request, status) in zip(opened, endless.items(), strict=True):
            connection.sendall(request)
            assert everything(connection).split(b" ")[1] == status, request[:120]
    until(lambda: here.status("/login") == 200)
    assert "Traceback" not in here.log.read_text()
