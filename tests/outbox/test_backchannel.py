"""Logout tokens and the request that carries them, seen by an application on the other end of real HTTP."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest

from idp.db.models import Client, DeliveryState, LogoutDelivery, SessionClient, User
from idp.db.models.clients import ClientOrigin
from idp.logout.logout_token import make_logout_token
from idp.web.services import Services
from idp.worker import deliver_due
from tests.support.heart import Heart
from tests.support.receivers import Receiver, Receivers

OpenServices = Callable[..., Services]
EVENT = "http://schemas.openid.net/event/backchannel-logout"


def sign_out_at(heart: Heart, *receivers: Receiver, **spec: Any) -> tuple[User, list[Client]]:
    person = heart.person()
    session = heart.sign_in(person)
    clients = [heart.client(backchannel_logout_uri=receiver.uri, **spec) for receiver in receivers]
    for client in clients:
        heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    return person, clients


def verified(services: Services, token: str, client: Client, heart: Heart) -> tuple[dict[str, Any], dict[str, Any]]:
    header = jwt.get_unverified_header(token)
    key = services.keys.verification_key(header["kid"], heart.now)
    assert key is not None
    assert key.algorithm == header["alg"]
    options: Any = {"verify_exp": False, "verify_iat": False}  # the test's clock is not the machine's
    claims = jwt.decode(token, key.key, algorithms=[key.algorithm], audience=client.id, options=options)
    return header, claims


@pytest.mark.spec("OIDC Back-Channel Logout", "2.4")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_logout_token_says_who_what_and_when_and_is_signed_like_id_tokens(
    heart: Heart, receivers: Receivers, open_services: OpenServices, algorithm: str
) -> None:
    receiver = receivers()
    services = open_services(allow=[receiver])
    person, (client,) = sign_out_at(heart, receiver, id_token_signed_response_alg=algorithm)
    ended_at = heart.now
    sid = heart.all(SessionClient)[0].sid
    heart.clock.advance(seconds=90)

    assert deliver_due(services) == 1

    header, claims = verified(services, receiver.tokens[0], client, heart)
    assert header["typ"] == "logout+jwt"
    assert header["alg"] == algorithm
    assert claims.pop("jti")
    now = int(heart.now.timestamp())
    assert claims == {
        "iss": heart.settings.issuer,
        "aud": client.id,
        "iat": now,
        "exp": now + 120,
        "events": {EVENT: {}},
        "sub": person.sub,
        "sid": sid,
        "toe": int(ended_at.timestamp()),
    }
    assert "nonce" not in claims


@pytest.mark.spec("OIDC Back-Channel Logout", "2.5")
def test_the_request_is_a_form_post_with_the_token_alone(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    sign_out_at(heart, receiver)

    deliver_due(open_services(allow=[receiver]))

    ((method, path, headers),) = receiver.requests
    assert (method, path) == ("POST", "/backchannel-logout")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert len(receiver.tokens) == 1
    assert "Cookie" not in headers
    assert "Authorization" not in headers


def test_every_attempt_carries_a_fresh_token(heart: Heart, receivers: Receivers, open_services: OpenServices) -> None:
    receiver = receivers(503, 200)
    services = open_services(allow=[receiver])
    _, (client,) = sign_out_at(heart, receiver)

    deliver_due(services)
    heart.clock.advance(seconds=10)
    deliver_due(services)

    (_, first), (_, second) = (verified(services, token, client, heart) for token in receiver.tokens)
    assert first["jti"] != second["jti"]
    assert second["iat"] - first["iat"] == 10
    assert second["toe"] == first["toe"]


def test_each_application_hears_of_its_own_part_only(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    one, two = receivers(), receivers()
    services = open_services(allow=[one, two])
    _, (client_one, client_two) = sign_out_at(heart, one, two)

    assert deliver_due(services) == 2

    _, first = verified(services, one.tokens[0], client_one, heart)
    _, second = verified(services, two.tokens[0], client_two, heart)
    assert first["sid"] != second["sid"]


@pytest.mark.parametrize(
    ("statuses", "attempts", "state"),
    [
        ([200], 1, DeliveryState.TOLD),
        ([204], 1, DeliveryState.TOLD),
        ([503, 429, 408, 200], 4, DeliveryState.TOLD),
        ([404, 400, 204], 3, DeliveryState.TOLD),
        ([400], 4, DeliveryState.REFUSED),
        ([404, 401, 403, 410], 4, DeliveryState.REFUSED),
        ([302], 1, DeliveryState.REFUSED),
        ([418], 1, DeliveryState.REFUSED),
    ],
)
def test_the_story_of_a_notice_ends_as_designed(
    heart: Heart,
    receivers: Receivers,
    open_services: OpenServices,
    statuses: list[int],
    attempts: int,
    state: DeliveryState,
) -> None:
    receiver = receivers(*statuses)
    services = open_services(allow=[receiver])
    sign_out_at(heart, receiver)

    for _ in range(10):
        deliver_due(services)
        heart.clock.advance(hours=1)

    assert len(receiver.bodies) == attempts
    assert [row.state for row in heart.all(LogoutDelivery)] == [state]


def test_an_application_that_is_away_for_a_day_is_given_up_visibly(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(500)
    services = open_services(allow=[receiver])
    sign_out_at(heart, receiver)

    for _ in range(25):
        deliver_due(services)
        heart.clock.advance(hours=1)

    (row,) = heart.all(LogoutDelivery)
    assert (row.state, row.last_status, row.last_failure) == (DeliveryState.GAVE_UP, 500, "answered 500")


def test_an_application_that_comes_back_is_told(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    sign_out_at(heart, receiver)
    blocked = open_services()
    deliver_due(blocked)

    heart.clock.advance(seconds=2)
    deliver_due(open_services(allow=[receiver]))

    assert [row.state for row in heart.all(LogoutDelivery)] == [DeliveryState.TOLD]


def test_an_internal_address_is_not_dialed_unless_an_operator_opened_it(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    sign_out_at(heart, receiver)

    deliver_due(open_services())

    (row,) = heart.all(LogoutDelivery)
    assert receiver.bodies == []
    assert row.state is DeliveryState.PENDING
    assert "blocked" in str(row.last_failure)


def test_the_operators_exception_does_not_serve_clients_that_registered_themselves(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    person, client = heart.person(), heart.client(backchannel_logout_uri=receiver.uri)
    heart.change(client, origin=ClientOrigin.DYNAMIC)
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)

    deliver_due(open_services(allow=[receiver]))

    assert receiver.bodies == []


def test_without_a_key_to_sign_with_the_notice_waits(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    services = open_services(allow=[receiver])
    sign_out_at(heart, receiver)
    heart.change(heart.all(LogoutDelivery)[0], algorithm="EdDSA")

    deliver_due(services)

    (row,) = heart.all(LogoutDelivery)
    assert (row.state, row.attempts) == (DeliveryState.PENDING, 1)
    assert receiver.bodies == []


def test_a_notice_that_cannot_be_built_does_not_stop_the_others(
    heart: Heart, receivers: Receivers, open_services: OpenServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, fine = receivers(), receivers()
    services = open_services(allow=[poison, fine])
    sign_out_at(heart, poison, fine)
    make = make_logout_token

    def trip(claimed: Any, **rest: Any) -> str:
        if claimed.uri == poison.uri:
            raise ZeroDivisionError
        return make(claimed, **rest)

    monkeypatch.setattr("idp.logout.backchannel.make_logout_token", trip)

    assert deliver_due(services) == 2

    assert len(fine.bodies) == 1
    states = {row.uri: (row.state, row.last_failure) for row in heart.all(LogoutDelivery)}
    assert states[poison.uri] == (DeliveryState.PENDING, "unexpected ZeroDivisionError")
    assert states[fine.uri][0] is DeliveryState.TOLD
