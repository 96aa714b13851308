"""Requests of the guarded client against real servers on loopback, the badly behaved ones included."""

import gzip
import socket
import time
from urllib.parse import parse_qs

import pytest

from idp.kit.addresses import AllowEntry
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundClient, OutboundFailure, OutboundPolicy
from tests.kit.outbound_servers import OK, RawServer, saying


def client_for(*servers, host="127.0.0.1"):
    return OutboundClient(OutboundPolicy(allow=tuple(AllowEntry.parse(f"{host}:{server.port}") for server in servers)))


def post(client, server, path="/", **options):
    url = f"http://127.0.0.1:{server.port}{path}"
    return client.post_form(url, {"logout_token": "a.b.c"}, operator_registered=True, **options)


def get(client, server, path="/", **options):
    return client.get(f"http://127.0.0.1:{server.port}{path}", operator_registered=True, **options)


def failure(answer):
    assert isinstance(answer, OutboundFailure), answer
    return answer.kind


def test_a_form_is_posted_and_the_answer_comes_back_whole():
    with RawServer(OK) as server:
        answer = post(client_for(server), server, "/backchannel-logout?tenant=1")

    assert isinstance(answer, OutboundAnswer)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"hello", "text/plain")
    assert 0 < answer.elapsed_seconds < 5
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /backchannel-logout?tenant=1 HTTP/1.1\r\n")
    assert parse_qs(body.decode()) == {"logout_token": ["a.b.c"]}
    lines = {line.lower() for line in head.split(b"\r\n")}
    assert {
        b"host: 127.0.0.1:%d" % server.port,
        b"content-type: application/x-www-form-urlencoded",
        b"accept-encoding: identity",
        b"connection: close",
    } <= lines
    assert not any(line.startswith((b"cookie", b"authorization")) for line in lines)


def test_a_get_asks_for_what_the_caller_accepts():
    with RawServer(OK) as server:
        answer = get(client_for(server), server, "/jwks", accept="application/jwk-set+json")

    assert isinstance(answer, OutboundAnswer)
    assert server.requests[0].startswith(b"GET /jwks HTTP/1.1\r\n")
    assert b"\r\nAccept: application/jwk-set+json\r\n" in server.requests[0]


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
def test_any_status_is_an_answer(status):
    with RawServer(saying(b"HTTP/1.1 %d Whatever\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        answer = post(client_for(server), server)

    assert isinstance(answer, OutboundAnswer)
    assert (answer.status, answer.headers["retry-after"]) == (status, "7")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status):
    with RawServer(OK) as target:
        redirect = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{target.port}/\r\nContent-Length: 0\r\n\r\n"
        with RawServer(saying(redirect.encode())) as server:
            answer = post(client_for(server, target), server)

    assert isinstance(answer, OutboundAnswer)
    assert answer.status == status
    assert target.connections == 0


def test_a_chunked_answer_is_read():
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with RawServer(saying(raw)) as server:
        answer = post(client_for(server), server)

    assert isinstance(answer, OutboundAnswer)
    assert answer.body == b"abcde"


def test_an_answer_that_ends_with_the_connection_is_read():
    with RawServer(saying(b"HTTP/1.0 200 OK\r\n\r\nto the end")) as server:
        answer = post(client_for(server), server)

    assert isinstance(answer, OutboundAnswer)
    assert answer.body == b"to the end"


def test_a_compressed_answer_is_left_compressed():
    squeezed = gzip.compress(b"0" * 1_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(squeezed)
    with RawServer(saying(head + squeezed)) as server:
        answer = post(client_for(server), server)

    assert isinstance(answer, OutboundAnswer)
    assert answer.body == squeezed


def test_an_answer_of_exactly_the_limit_is_taken_and_one_byte_more_is_not():
    def sized(count):
        return saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count + b"x" * count)

    with RawServer(sized(1000)) as server:
        answer = post(client_for(server), server, max_bytes=1000)
    with RawServer(sized(1001)) as server:
        refusal = post(client_for(server), server, max_bytes=1000)

    assert isinstance(answer, OutboundAnswer)
    assert failure(refusal) is FailureKind.TOO_LARGE
    assert refusal.status == 200


def endlessly(start, more):
    def answer(connection, request):
        connection.sendall(start)
        while True:
            connection.sendall(more)

    return answer


@pytest.mark.parametrize(
    ("start", "more"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000, id="body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n", id="chunks"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100, id="tiny chunks"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x" * 1000 + b"\r\n", id="trailers"
        ),
    ],
)
def test_an_endless_body_is_cut_off(start, more):
    with RawServer(endlessly(start, more)) as server:
        refusal = post(client_for(server), server, max_bytes=65536)

    assert failure(refusal) is FailureKind.TOO_LARGE
    assert refusal.status == 200


@pytest.mark.parametrize(
    ("start", "more"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", id="many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1000, id="one long header"),
        pytest.param(b"", b"x" * 1000, id="no status line"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, id="interim answers"),
    ],
)
def test_an_endless_head_is_cut_off(start, more):
    with RawServer(endlessly(start, more)) as server:
        refusal = post(client_for(server), server)

    assert failure(refusal) in {FailureKind.TOO_LARGE, FailureKind.MALFORMED}


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 20", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n", id="chunk"),
    ],
)
def test_a_server_that_drips_one_byte_at_a_time_is_left_at_the_deadline(start):
    def drip(connection, request):
        connection.sendall(start)
        while not server.stopping.wait(0.02):
            connection.sendall(b"y")

    with RawServer(drip) as server:
        started = time.monotonic()
        refusal = post(client_for(server), server, deadline_seconds=0.4)
        took = time.monotonic() - started

    assert failure(refusal) is FailureKind.TIMED_OUT
    assert 0.35 < took < 2


def test_a_server_that_reads_nothing_is_left_at_the_deadline():
    with RawServer(lambda *_: server.stopping.wait(10), reads_first=False) as server:
        started = time.monotonic()
        refusal = client_for(server).post_form(
            f"http://127.0.0.1:{server.port}/",
            {"big": "x" * 20_000_000},
            operator_registered=True,
            deadline_seconds=0.4,
        )
        took = time.monotonic() - started

    assert failure(refusal) is FailureKind.TIMED_OUT
    assert took < 3


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        (b"", FailureKind.UNREACHABLE, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", FailureKind.UNREACHABLE, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", FailureKind.UNREACHABLE, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", FailureKind.UNREACHABLE, 200),
        (b"SSH-2.0-OpenSSH_9.2\r\n", FailureKind.MALFORMED, None),
        (b"HTTP/1.1 abc OK\r\n\r\n", FailureKind.MALFORMED, None),
        (b"HTTP/1.1 42 OK\r\n\r\n", FailureKind.MALFORMED, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", FailureKind.MALFORMED, None),
        (b"\x15\x03\x01\x00\x02\x02\x46", FailureKind.MALFORMED, None),
    ],
)
def test_a_broken_answer_is_a_failure_and_no_exception(raw, kind, status):
    with RawServer(saying(raw)) as server:
        refusal = post(client_for(server), server)

    assert failure(refusal) is kind
    assert refusal.status == status


def test_nobody_listening_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = OutboundClient(OutboundPolicy(allow=(AllowEntry.parse(f"127.0.0.1:{port}"),)))

    refusal = client.get(f"http://127.0.0.1:{port}/", operator_registered=True)

    assert failure(refusal) is FailureKind.UNREACHABLE


def test_a_failure_tells_neither_the_path_nor_what_the_server_said():
    with RawServer(saying(b"secret nonsense\r\n")) as server:
        refusal = post(client_for(server), server, "/private?token=abc")

    assert isinstance(refusal, OutboundFailure)
    assert refusal.detail.startswith(f"127.0.0.1:{server.port}: ")
    assert not any(word in refusal.detail for word in ("secret", "private", "abc"))
