"""Applications that answer in odd ways: each notice ends as designed, in bounded memory, and none is stuck or lost.

What the outbound client makes of such answers is in `tests/kit/test_outbound_requests.py`; here it is what becomes of
the notice, from the end of a session to its row, and that the next attempt arrives when the application is mended.
"""

import socket
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from idp.db.models import DeliveryState, LogoutDelivery
from idp.web.services import Services
from idp.worker.steps import deliver_due
from tests.kit.outbound_servers import OK, Answering, RawServer, saying
from tests.support.heart import Heart

OpenServices = Callable[..., Services]
TOLD, PENDING, REFUSED = DeliveryState.TOLD, DeliveryState.PENDING, DeliveryState.REFUSED
PATIENCE = timedelta(seconds=2)
LARGEST_PEAK = 4 * 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = b"the database password " * 47_663


@pytest.fixture(params=["sqlite"])
def database_backend(request: pytest.FixtureRequest) -> str:
    """The embedded database only: what follows an outcome is the same statement on both."""
    return str(request.param)


def endless(start: bytes, more: bytes) -> Answering:
    def answer(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(start)
        for _ in range(1 + 2**30 // len(more)):  # a gigabyte, if anybody takes it
            connection.sendall(more)

    return answer


def dripping(start: bytes) -> Answering:
    def answer(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(start)
        until = time.monotonic() + 5 * PATIENCE.total_seconds()
        while time.monotonic() < until:
            connection.sendall(b"x")
            time.sleep(0.05)

    return answer


def sign_out_at(heart: Heart, uri: str) -> None:
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, heart.client(backchannel_logout_uri=uri))
    heart.end(person, session.session_id)


@pytest.mark.spec("Back-Channel Logout", "2.8")
@pytest.mark.parametrize(
    ("answer", "state"),
    [
        # It received the notice and said so: whatever came behind the status changes nothing.
        pytest.param(endless(HEAD + b"Content-Length: 1073741824\r\n\r\n", MEGABYTE), TOLD, id="a gigabyte"),
        pytest.param(endless(HEAD + b"\r\n", MEGABYTE), TOLD, id="endless body"),
        pytest.param(dripping(HEAD + b"Content-Length: 65000\r\n\r\n"), TOLD, id="dripping body"),
        pytest.param(saying(HEAD + b"Content-Length: 100\r\n\r\ncut"), TOLD, id="closed within the body"),
        pytest.param(saying(b"HTTP/1.1 204 No Content\r\n\r\nand yet"), TOLD, id="204 with a body"),
        pytest.param(
            saying(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            REFUSED,
            id="redirect",
        ),
        pytest.param(
            saying(b"HTTP/1.1 307 Again\r\nLocation: /backchannel-logout\r\nContent-Length: 0\r\n\r\n"),
            REFUSED,
            id="redirect to itself",
        ),
        # Nobody can say that it received anything.
        pytest.param(endless(HEAD, b"X-Filler: " + MEGABYTE + b"\r\n"), PENDING, id="endless head"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), PENDING, id="only interim answers"),
        pytest.param(dripping(b"HTTP/1.1 "), PENDING, id="dripping head"),
        pytest.param(saying(b""), PENDING, id="closed at once"),
        pytest.param(saying(b"HTTP/1.1 20"), PENDING, id="closed within the status"),
        pytest.param(saying(b"\x16\x03\x01 not HTTP at all \x00\xff\r\n\r\n"), PENDING, id="not HTTP"),
    ],
)
def test_an_odd_answer_ends_or_waits_as_designed_in_bounded_memory(
    heart: Heart, open_services: OpenServices, answer: Answering, state: DeliveryState
) -> None:
    with RawServer(answer) as server:
        services = open_services(allow=[server], delivery_request_lifetime=PATIENCE)
        sign_out_at(heart, f"http://127.0.0.1:{server.port}/backchannel-logout")

        peak = _peak_of(lambda: deliver_due(services))

        [row] = heart.all(LogoutDelivery)
        assert row.state is state
        assert row.attempts == server.connections == 1
        assert peak < LARGEST_PEAK
        assert "password" not in str(row.last_failure)
        if state is PENDING:
            _mend(server)
            heart.clock.advance(minutes=1)
            deliver_due(services)
            [row] = heart.all(LogoutDelivery)
            assert (row.state, row.attempts) == (TOLD, 2)


def test_an_address_with_tls_that_is_wrong_is_asked_again_and_gets_no_token(
    heart: Heart, open_services: OpenServices
) -> None:
    with RawServer(OK, reads_first=False) as server:  # speaks no TLS
        services = open_services(allow=[server], delivery_request_lifetime=PATIENCE)
        sign_out_at(heart, f"https://127.0.0.1:{server.port}/backchannel-logout")

        deliver_due(services)

        [row] = heart.all(LogoutDelivery)
        assert row.state is PENDING
        assert str(row.last_failure).startswith("tls: ")
        assert not any(b"logout_token" in request for request in server.requests)


def test_one_odd_application_after_another_leaves_the_healthy_one_told(
    heart: Heart, open_services: OpenServices
) -> None:
    odd: list[Answering] = [endless(HEAD + b"\r\n", MEGABYTE), saying(b""), saying(b"nonsense\r\n\r\n")]
    servers = [RawServer(answer) for answer in [*odd, OK]]
    for server in servers:
        server.__enter__()
    try:
        services = open_services(allow=servers)
        person = heart.person()
        session = heart.sign_in(person)
        for server in servers:
            uri = f"http://127.0.0.1:{server.port}/backchannel-logout"
            heart.tokens_for(session, heart.client(backchannel_logout_uri=uri))
        heart.end(person, session.session_id)

        deliver_due(services)

        by_port = {row.uri: row.state for row in heart.all(LogoutDelivery)}
        assert [by_port[f"http://127.0.0.1:{server.port}/backchannel-logout"] for server in servers] == [
            TOLD,
            PENDING,
            PENDING,
            TOLD,
        ]
    finally:
        for server in servers:
            server.__exit__()


def _mend(server: RawServer) -> None:
    server._answer = OK


def _peak_of(work: Callable[[], Any]) -> int:
    """How many bytes Python held more at most while it worked; the servers of this process send what they hold."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
