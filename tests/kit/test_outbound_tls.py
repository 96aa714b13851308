"""TLS and proxies: the certificate must be for the name in the URL, whatever address is dialed."""

import base64
import socket
import threading
import time
from ipaddress import ip_address

import pytest

from idp.kit.addresses import AllowEntry
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundClient, OutboundFailure, OutboundPolicy
from tests.kit.outbound_servers import OK, PrivateAuthority, RawServer, saying

LOOPBACK = ip_address("127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return PrivateAuthority(tmp_path_factory.mktemp("authority"))


def get(server, bundle, *, host="rp.test", scheme="https", proxy=None, deadline_seconds=5.0):
    policy = OutboundPolicy(allow=(AllowEntry.parse(f"127.0.0.0/8:{server.port}"),), proxy=proxy, ca_bundle=bundle)
    client = OutboundClient(policy, resolver=lambda _name: [LOOPBACK])
    url = f"{scheme}://{host}:{server.port}/path"
    return client.get(url, operator_registered=True, deadline_seconds=deadline_seconds)


def failure(answer):
    assert isinstance(answer, OutboundFailure), answer
    return answer.kind


@pytest.mark.spec("RFC 9525", "6.3")
def test_a_certificate_for_the_name_is_accepted_and_the_name_is_what_the_server_hears(authority):
    heard = []
    context = authority.server_context("rp.test")
    context.sni_callback = lambda _connection, name, _original: heard.append(name)
    with RawServer(OK, tls=context) as server:
        answer = get(server, authority.bundle)

    assert isinstance(answer, OutboundAnswer)
    assert (answer.status, answer.body) == (200, b"hello")
    assert heard == ["rp.test"]
    assert b"Host: rp.test:%d\r\n" % server.port in server.requests[0]


@pytest.mark.spec("RFC 9525", "6.3")
@pytest.mark.parametrize("name", ["other.test", "sub.rp.test", "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused(authority, name):
    with RawServer(OK, tls=authority.server_context(name)) as server:
        refusal = get(server, authority.bundle)

    assert failure(refusal) is FailureKind.TLS
    assert server.requests == []


def test_a_certificate_for_an_address_is_accepted_when_the_url_names_it(authority):
    with RawServer(OK, tls=authority.server_context("127.0.0.1")) as server:
        answer = get(server, authority.bundle, host="127.0.0.1")

    assert isinstance(answer, OutboundAnswer)


def test_an_expired_certificate_is_refused(authority):
    with RawServer(OK, tls=authority.server_context("rp.test", expired=True)) as server:
        refusal = get(server, authority.bundle)

    assert failure(refusal) is FailureKind.TLS
    assert "expired" in refusal.detail


def test_an_unknown_authority_is_refused(authority):
    with RawServer(OK, tls=authority.server_context("rp.test")) as server:
        refusal = get(server, None)

    assert failure(refusal) is FailureKind.TLS


def test_a_server_without_tls_is_refused(authority):
    with RawServer(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), reads_first=False) as server:
        refusal = get(server, authority.bundle)

    assert failure(refusal) is FailureKind.TLS


def test_a_handshake_that_never_ends_is_left_at_the_deadline(authority):
    with RawServer(lambda *_: server.stopping.wait(10), reads_first=False) as server:
        started = time.monotonic()
        refusal = get(server, authority.bundle, deadline_seconds=0.3)

    assert failure(refusal) is FailureKind.TIMED_OUT
    assert time.monotonic() - started < 3


def test_a_tls_server_that_drips_is_left_at_the_deadline(authority):
    def drip(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.stopping.wait(0.02):
            connection.sendall(b"y")

    with RawServer(drip, tls=authority.server_context("rp.test")) as server:
        started = time.monotonic()
        refusal = get(server, authority.bundle, deadline_seconds=0.4)

    assert failure(refusal) is FailureKind.TIMED_OUT
    assert time.monotonic() - started < 3


def test_an_endless_tls_answer_is_cut_off(authority):
    def pour(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 1000)

    with RawServer(pour, tls=authority.server_context("rp.test")) as server:
        refusal = get(server, authority.bundle)

    assert failure(refusal) is FailureKind.TOO_LARGE


def test_a_ca_bundle_that_cannot_be_read_stops_the_start(tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")

    for bundle in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ValueError, match=bundle.name):
            OutboundClient(OutboundPolicy(ca_bundle=bundle))


def tunnel_to(port):
    """A proxy that opens a tunnel to a server of the test, whatever it is asked for."""

    def answer(connection, request):
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(upstream, connection), daemon=True)
            back.start()
            copy(connection, upstream)
            back.join(10)

    return answer


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.spec("RFC 9110", "9.3.6")
def test_https_goes_through_the_proxy_in_a_tunnel_and_the_certificate_is_still_checked(authority):
    with (
        RawServer(OK, tls=authority.server_context("rp.test")) as server,
        RawServer(tunnel_to(server.port)) as proxy,
    ):
        address = f"http://us:pa%3Ass@127.0.0.1:{proxy.port}"
        answer = get(server, authority.bundle, proxy=address)
        refusal = get(server, authority.bundle, proxy=address, host="other.test")

    assert isinstance(answer, OutboundAnswer)
    assert answer.body == b"hello"
    assert proxy.requests[0].startswith(b"CONNECT rp.test:%d HTTP/1." % server.port)
    credentials = base64.b64encode(b"us:pa:ss")
    assert b"Proxy-Authorization: Basic " + credentials in proxy.requests[0]
    assert b"Proxy-Authorization" not in server.requests[0]
    assert failure(refusal) is FailureKind.TLS


@pytest.mark.spec("RFC 9112", "3.2.2")
def test_plain_http_goes_to_the_proxy_in_absolute_form(authority):
    with RawServer(OK) as proxy:
        answer = get(proxy, None, scheme="http", proxy=f"http://127.0.0.1:{proxy.port}")

    assert isinstance(answer, OutboundAnswer)
    assert proxy.requests[0].startswith(b"GET http://rp.test:%d/path HTTP/1.1\r\n" % proxy.port)
    assert proxy.requests[0].lower().count(b"\r\nhost: rp.test:%d\r\n" % proxy.port) == 1


def test_addresses_are_checked_before_the_proxy_hears_of_them(authority):
    with RawServer(OK) as proxy:
        policy = OutboundPolicy(proxy=f"http://127.0.0.1:{proxy.port}")
        client = OutboundClient(policy, resolver=lambda _name: [ip_address("10.0.0.1")])
        refusal = client.get("https://rp.test/", operator_registered=True)

    assert failure(refusal) is FailureKind.BLOCKED
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 403 Forbidden: secret\r\n\r\n",
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"",
        b"junk\r\n",
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_a_failure_and_no_exception(authority, raw):
    with RawServer(saying(raw)) as proxy:
        refusal = get(proxy, authority.bundle, proxy=f"http://127.0.0.1:{proxy.port}")

    assert failure(refusal) in {FailureKind.UNREACHABLE, FailureKind.MALFORMED}
    assert "secret" not in refusal.detail


def test_a_proxy_that_pours_headers_is_cut_off(authority):
    def pour(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x: y\r\n" * 100)

    with RawServer(pour) as proxy:
        refusal = get(proxy, authority.bundle, proxy=f"http://127.0.0.1:{proxy.port}")

    assert failure(refusal) in {FailureKind.TOO_LARGE, FailureKind.MALFORMED}
