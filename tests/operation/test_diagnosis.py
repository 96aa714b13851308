"""What the doctor sees of the world around a node, and what it tells to do about each."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.db.models import Client
from idp.operation.checks import State
from idp.operation.diagnosis import (
    check_certificate,
    check_issuer,
    check_logout_address,
    check_proxies,
    check_untold,
    explain_address,
    judge_proxies,
)
from idp.settings import Settings, load_settings
from tests.kit.outbound_servers import OK, PrivateAuthority, RawServer, saying
from tests.support.heart import Heart
from tests.support.receivers import Receiver, Receivers

OpenServices = Any


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({}, var_dir=tmp_path, secret="x" * 40)


def changed(settings: Settings, **values: Any) -> Settings:
    """Through validation, so that networks become networks."""
    return load_settings({}, **{"var_dir": settings.var_dir, "secret": "x" * 40, **values})


# ── The public address ────────────────────────────────────────────────────────────────────────────────────────────────


def answering(body: bytes, status: bytes = b"200 OK") -> Any:
    return saying(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def issuer_check(settings: Settings, body: Any, status: bytes = b"200 OK") -> Any:
    """What is said when `body` (its `{issuer}` filled in) is what answers at the public address."""
    said = bytearray()

    def answer(connection: Any, request: bytes) -> None:  # the body is known when the port is
        answering(bytes(said), status)(connection, request)

    with RawServer(answer) as server:
        issuer = f"http://localhost:{server.port}"
        said += body.replace(b"{issuer}", issuer.encode())
        tls, found = check_issuer(changed(settings, issuer=issuer), datetime.now(UTC))
    assert (tls.name, tls.state) == ("tls", State.WARNING)
    assert "plain http" in tls.message
    return found


def test_an_issuer_that_answers_as_itself_is_well(settings: Settings) -> None:
    found = issuer_check(settings, b'{"issuer": "{issuer}"}')

    assert (found.name, found.state) == ("issuer", State.OK)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b'{"issuer": "https://other.example"}', b"200 OK", "calls itself 'https://other.example'. Set IDP_ISSUER"),
        (b"<html>", b"200 OK", "no metadata. Let the reverse proxy"),
        (b"[]", b"200 OK", "no metadata"),
        (b'{"issuer": 7}', b"200 OK", "no metadata"),
        (b'{"issuer": "{issuer}"}', b"502 Bad Gateway", "answers 502"),
    ],
)
def test_an_issuer_that_answers_as_something_else_is_broken(
    settings: Settings, body: bytes, status: bytes, sentence: str
) -> None:
    found = issuer_check(settings, body, status)

    assert found.state is State.FAILED
    assert sentence in found.message


def test_an_issuer_that_does_not_answer_may_still_be_well_outside(settings: Settings) -> None:
    _, found = check_issuer(changed(settings, issuer="http://127.0.0.1:1"), datetime.now(UTC))

    assert found.state is State.WARNING
    assert "curl http://127.0.0.1:1/.well-known/openid-configuration" in found.message


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> PrivateAuthority:
    return PrivateAuthority(tmp_path_factory.mktemp("authority"))


def test_a_certificate_is_good_soon_over_expired_or_not_trusted(
    settings: Settings, authority: PrivateAuthority
) -> None:
    trusting = changed(settings, outbound_ca_bundle=authority.bundle)
    now = datetime.now(UTC)

    def look(settings: Settings, at: datetime = now, *, expired: bool = False, name: str = "localhost") -> Any:
        with RawServer(OK, tls=authority.server_context(name, expired=expired)) as server:
            return check_certificate("localhost", server.port, settings, at)

    month_before = now - timedelta(days=30)
    found = [
        look(trusting, month_before),
        look(trusting),
        look(trusting, expired=True),
        look(settings),
        look(trusting, name="other.test"),
    ]

    assert [check.state for check in found] == [State.OK, State.WARNING, State.FAILED, State.FAILED, State.FAILED]
    assert "is good until" in found[0].message
    assert "Renew it" in found[1].message
    assert "expired" in found[2].message


def test_a_port_without_tls_is_broken_and_one_that_is_closed_only_unknown(settings: Settings) -> None:
    with RawServer(OK, reads_first=False) as server:
        plain = check_certificate("localhost", server.port, settings, datetime.now(UTC))
    closed = check_certificate("127.0.0.1", 1, settings, datetime.now(UTC))

    assert (plain.state, closed.state) == (State.FAILED, State.WARNING)
    assert "does not speak TLS" in plain.message
    assert "Look at it from outside" in closed.message


# ── Proxies ───────────────────────────────────────────────────────────────────────────────────────────────────────────

HTTPS = "https://id.example"


@pytest.mark.parametrize(
    ("issuer", "trusted", "seen", "state", "sentence"),
    [
        (HTTPS, "10.0.0.5", ["203.0.113.9"], State.OK, "Trusted: 10.0.0.5/32"),
        (HTTPS, "", [], State.WARNING, "is empty, and something must end TLS"),
        ("http://localhost:9000", "", ["127.0.0.1"], State.OK, "none is needed"),
        ("http://localhost:9000", "", ["127.0.0.1"] * 9, State.OK, "none is needed"),
        (HTTPS, "0.0.0.0/0", [], State.FAILED, "anybody can claim any address"),
        (HTTPS, "10.0.0.5,::/0", [], State.FAILED, "anybody can claim any address"),
        (HTTPS, "10.0.0.0/8", ["203.0.113.9", "10.0.0.5"], State.WARNING, "10.0.0.5 is a trusted proxy"),
        (HTTPS, "", ["10.0.0.5"] * 5, State.WARNING, "The last 5 sign-ins all came from 10.0.0.5"),
        (HTTPS, "", ["10.0.0.5"] * 4, State.WARNING, "is empty"),
        (HTTPS, "10.9.9.9", ["10.0.0.5"] * 6, State.WARNING, "put it into IDP_TRUSTED_PROXIES"),
        (HTTPS, "10.9.9.9", ["8.8.8.8"] * 6, State.OK, "Trusted"),
    ],
)
def test_proxies_are_judged_by_the_settings_and_by_who_signed_in(
    settings: Settings, issuer: str, trusted: str, seen: list[str], state: State, sentence: str
) -> None:
    found = judge_proxies(changed(settings, issuer=issuer, trusted_proxies=trusted), seen)

    assert found.state is state, found.message
    assert sentence in found.message


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "state", "sentence"),
    [
        ("10.0.0.5", "203.0.113.9", State.OK, "taken to come from 203.0.113.9"),
        ("10.0.0.5", "6.6.6.6, 203.0.113.9", State.OK, "taken to come from 203.0.113.9"),
        ("10.0.0.6", "203.0.113.9", State.WARNING, "not in IDP_TRUSTED_PROXIES"),
        ("10.0.0.5", "", State.OK, "taken to come from 10.0.0.5"),
        ("proxy.internal", "203.0.113.9", State.FAILED, "is no IP address"),
    ],
)
def test_whose_address_is_seen_is_explained(
    settings: Settings, peer: str, forwarded_for: str, state: State, sentence: str
) -> None:
    found = explain_address(changed(settings, trusted_proxies="10.0.0.5"), peer, forwarded_for)

    assert found.state is state
    assert sentence in found.message


def test_the_latest_sign_ins_are_what_is_looked_at(heart: Heart, open_services: OpenServices) -> None:
    for _ in range(5):
        heart.sign_in(heart.person())  # all from 192.0.2.7, which is no public address
    services = open_services(issuer="https://id.example")

    assert "The last 5 sign-ins all came from 192.0.2.7" in check_proxies(services, heart.now).message

    heart.clock.advance(days=8)
    assert "sign-ins" not in check_proxies(services, heart.now).message


# ── Applications ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "state", "sentence"),
    [
        (400, State.OK, "as it should"),
        (200, State.WARNING, "Let it verify the logout token"),
        (302, State.WARNING, "redirects"),
        (403, State.WARNING, "CSRF"),
        (404, State.WARNING, "nothing takes notices there"),
        (405, State.WARNING, "where 400 is expected"),
        (503, State.WARNING, "See its log"),
    ],
)
def test_an_application_is_judged_by_its_answer_to_an_empty_notice(
    heart: Heart, open_services: OpenServices, receivers: Receivers, status: int, state: State, sentence: str
) -> None:
    receiver: Receiver = receivers(status)
    client = heart.client(name="Wiki", backchannel_logout_uri=receiver.uri)

    found = check_logout_address(open_services(allow=[receiver]), client)

    assert found.state is state
    assert sentence in found.message
    assert found.message.startswith(f"Wiki ({client.id}): ")
    assert receiver.bodies == [b""]


def test_an_application_that_our_own_settings_keep_us_from_is_broken(
    heart: Heart, open_services: OpenServices, receivers: Receivers
) -> None:
    receiver: Receiver = receivers(400)
    client = heart.client(backchannel_logout_uri=receiver.uri)

    found = check_logout_address(open_services(), client)

    assert found.state is State.FAILED
    assert "no entry of IDP_OUTBOUND_ALLOW covers it" in found.message
    assert receiver.requests == []


def test_an_application_that_is_away_is_only_a_warning(
    heart: Heart, open_services: OpenServices, receivers: Receivers
) -> None:
    receiver: Receiver = receivers(400)
    client = heart.client(backchannel_logout_uri="http://127.0.0.1:1/bye")
    receiver.port = 1

    found = check_logout_address(open_services(allow=[receiver]), client)

    assert found.state is State.WARNING
    assert "Real notices are tried again" in found.message


def test_web_applications_without_an_address_are_named_and_tools_are_not(heart: Heart) -> None:
    told = heart.client(backchannel_logout_uri="https://wiki.example/bye")
    tool = heart.client(public=True, redirect_uris=["http://127.0.0.1/cb"], requires_pkce=True)
    service = heart.client(redirect_uris=[], grant_types=("client_credentials",))
    untold: list[Client] = [heart.client(name=f"Web {number}") for number in range(7)]

    assert check_untold([told, tool, service]) is None
    found = check_untold([told, tool, service, *untold])
    assert found is not None
    assert found.state is State.WARNING
    assert found.message.startswith("Web 0, Web 1, Web 2, Web 3, Web 4 and 2 more can't be told")


def test_what_is_said_is_json_safe(settings: Settings) -> None:
    json.dumps(explain_address(settings, "\ud800", "").message)
