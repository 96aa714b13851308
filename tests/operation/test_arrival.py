"""When a request has arrived: `idp.cli.arrival` against requests in one piece, byte by byte, cut off, and malformed."""

import pytest

from idp.cli.arrival import CHUNKED, HEAD, REQUEST_LINE, Arrival, Stage
from idp.web.limits import MAXIMUM_BODY

CHUNKED_POST = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "without a body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "with a length": b"POST / HTTP/1.1\r\ncontent-LENGTH:  3 \r\nHost: x\r\n\r\nabc",
    "with a length of nothing": b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "in chunks": CHUNKED_POST + b"3\r\na\r\n\r\nA;x=y\r\n0\r\n\r\n56789\r\n0\r\n\r\n",
    "in chunks, with trailers": CHUNKED_POST + b"1\r\na\r\n0\r\nX: y\r\n\r\n",
}
REFUSED_BY_THE_PARSER = {
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
    "a coding of its own": b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "a chunk of no size": CHUNKED_POST + b"x\r\n",
    "a line without end": b"GET /" + b"x" * REQUEST_LINE,
    "a body that is too long": b"POST / HTTP/1.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
    % (MAXIMUM_BODY + 1),
}


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    at_once, by_bytes = Arrival(), Arrival()

    assert at_once.add(request_bytes) is Stage.WHOLE
    stages = [by_bytes.add(request_bytes[at : at + 1]) for at in range(len(request_bytes))]

    assert stages == [Stage.PARTIAL] * (len(request_bytes) - 1) + [Stage.WHOLE]
    assert by_bytes.data == request_bytes


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
def test_what_follows_a_whole_request_is_kept(request_bytes: bytes) -> None:
    arrival = Arrival()

    assert arrival.add(request_bytes + b"GET /next") is Stage.WHOLE
    assert arrival.data.endswith(b"GET /next")


@pytest.mark.parametrize("request_bytes", REFUSED_BY_THE_PARSER.values(), ids=REFUSED_BY_THE_PARSER)
def test_nothing_more_is_waited_for_where_the_parser_or_the_application_will_refuse(request_bytes: bytes) -> None:
    arrival = Arrival()

    assert arrival.add(request_bytes) is Stage.WHOLE
    assert not arrival.expects_continue


def test_only_who_has_a_body_to_send_is_asked_to_continue() -> None:
    asking, silent = Arrival(), Arrival()

    asking.add(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
    silent.add(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")

    assert asking.expects_continue
    assert not silent.expects_continue


def test_what_has_no_end_is_too_large_in_any_form() -> None:
    headers = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (HEAD // 6)

    assert Arrival().add(headers) is Stage.HEAD_TOO_LARGE
    assert Arrival().add(headers + b"\r\n") is Stage.HEAD_TOO_LARGE
    assert Arrival().add(CHUNKED_POST + b"fffff\r\n" + b"x" * MAXIMUM_BODY) is Stage.PARTIAL
    assert Arrival().add(CHUNKED_POST + b"fffff\r\n" + b"x" * (MAXIMUM_BODY + 1)) is Stage.BODY_TOO_LARGE
    assert Arrival().add(CHUNKED_POST + b"1\r\nx\r\n" * (MAXIMUM_BODY + 1)) is Stage.BODY_TOO_LARGE
    assert Arrival().add(CHUNKED_POST + b"0\r\n" + b"X: y\r\n" * (CHUNKED // 6)) is Stage.BODY_TOO_LARGE
    assert Arrival().add(CHUNKED_POST + b"1;" + b"x" * CHUNKED) is Stage.BODY_TOO_LARGE
