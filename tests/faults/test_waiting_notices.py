"""What may happen while a notice waits: its client goes or changes, the keys rotate, its worker is killed at any step.

The notice was promised when the session ended: it is told as it was then, signed as it is now, and at least once.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest

from idp import keys, outbox
from idp.clients.lifecycle import delete_client, disable_client, rotate_client_secret
from idp.db.models import Client, DeliveryState, EndReason, LogoutDelivery, SigningKey
from idp.sessions import Actor, end_client_everywhere
from idp.web.services import Services
from idp.worker import steps
from tests.support.databases import BACKENDS
from tests.support.heart import Heart
from tests.support.receivers import Receiver, Receivers

OpenServices = Callable[..., Services]


@pytest.fixture(params=BACKENDS)
def database_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sign_out_at(heart: Heart, receiver: Receiver, **spec: Any) -> Client:
    person, client = heart.person(), heart.client(backchannel_logout_uri=receiver.uri, **spec)
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    return client


def read(services: Services, token: str, heart: Heart) -> dict[str, Any]:
    """The claims, verified with the keys that are published now."""
    header = jwt.get_unverified_header(token)
    published = {key["kid"]: jwt.PyJWK(key) for key in services.keys.jwks(heart.now)["keys"]}
    assert header["kid"] in published
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    claims: dict[str, Any] = jwt.decode(
        token, published[header["kid"]].key, algorithms=[header["alg"]], options=options
    )
    return claims


# ── the client ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _disable(heart: Heart, client: Client) -> None:
    with heart.database.transaction() as tx:
        disable_client(tx, client_id=client.id, now=heart.now)


def _delete(heart: Heart, client: Client) -> None:
    """As `idp clients delete` does it."""
    with heart.database.transaction() as tx:
        delete_client(tx, client_id=client.id, now=heart.now)
        end_client_everywhere(
            tx,
            client_id=client.id,
            reason=EndReason.CLIENT_DELETED,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )


def _move(heart: Heart, client: Client) -> None:
    heart.change(client, backchannel_logout_uri="https://elsewhere.example/logout")


def _become_deaf(heart: Heart, client: Client) -> None:
    heart.change(client, backchannel_logout_uri=None)


def _rename(heart: Heart, client: Client) -> None:
    heart.change(client, name="Another name", id_token_signed_response_alg="RS256", wants_logout_reason=True)


def _rotate_secret(heart: Heart, client: Client) -> None:
    with heart.database.transaction() as tx:
        rotate_client_secret(tx, client_id=client.id, overlap=timedelta(0), now=heart.now)


@pytest.mark.parametrize("happens", [_disable, _delete, _move, _become_deaf, _rename, _rotate_secret])
def test_a_client_that_goes_or_changes_meanwhile_is_told_as_it_was(
    heart: Heart, receivers: Receivers, open_services: OpenServices, happens: Callable[[Heart, Client], None]
) -> None:
    receiver = receivers(503, 200)
    services = open_services(allow=[receiver])
    client = sign_out_at(heart, receiver)
    ended_at = heart.now
    steps.deliver_due(services)

    happens(heart, client)
    heart.clock.advance(minutes=1)
    steps.deliver_due(services)

    [row] = heart.all(LogoutDelivery)
    assert row.state is DeliveryState.TOLD
    claims = read(services, receiver.tokens[-1], heart)
    assert (claims["aud"], claims["toe"]) == (client.id, int(ended_at.timestamp()))
    assert "logout_reason" not in claims
    assert jwt.get_unverified_header(receiver.tokens[-1])["alg"] == "ES256"


# ── the keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_notice_that_waited_through_rotations_is_signed_with_a_key_of_the_day(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(503)
    services = open_services(allow=[receiver])
    sign_out_at(heart, receiver)
    steps.deliver_due(services)
    first = jwt.get_unverified_header(receiver.tokens[0])["kid"]
    for _ in range(3):
        heart.clock.advance(hours=6)
        with heart.database.transaction() as tx:
            keys.rotate(
                tx,
                algorithm="ES256",
                keyring=heart.keyring,
                now=heart.now,
                settings=heart.settings,
                immediately=True,
            )
        services.keys.forget()
        steps.deliver_due(services)
    receiver.statuses = [200]
    heart.clock.advance(hours=1)

    steps.deliver_due(services)

    assert [row.state for row in heart.all(LogoutDelivery)] == [DeliveryState.TOLD]
    last = jwt.get_unverified_header(receiver.tokens[-1])["kid"]
    assert last != first
    assert first not in {key["kid"] for key in services.keys.jwks(heart.now)["keys"]}
    read(services, receiver.tokens[-1], heart)


def test_a_key_that_leaked_meanwhile_signs_nothing_more_and_the_notice_arrives(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(503, 200)
    services = open_services(allow=[receiver])
    sign_out_at(heart, receiver)
    steps.deliver_due(services)
    leaked = jwt.get_unverified_header(receiver.tokens[0])["kid"]
    with heart.database.transaction() as tx:
        given: Any = {"now": heart.now, "settings": heart.settings}
        keys.rotate(tx, algorithm="ES256", keyring=heart.keyring, immediately=True, **given)
        assert isinstance(keys.retire(tx, kid=leaked, compromised=True, **given), SigningKey)
    services.keys.forget()
    heart.clock.advance(minutes=1)

    steps.deliver_due(services)

    assert [row.state for row in heart.all(LogoutDelivery)] == [DeliveryState.TOLD]
    assert jwt.get_unverified_header(receiver.tokens[-1])["kid"] != leaked
    read(services, receiver.tokens[-1], heart)


# ── the worker ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """What no `except Exception` sees: the process is gone at this very place."""


def _dies(*_: object, **__: object) -> Any:
    raise Killed


def _dies_after(work: Callable[..., Any]) -> Callable[..., Any]:
    def do(*given: Any, **named: Any) -> Any:
        work(*given, **named)
        raise Killed

    return do


@pytest.mark.parametrize(
    ("step", "dies", "arrivals"),
    [
        ("claim_due", _dies, 1),  # before anything was leased
        ("claim_due", _dies_after, 1),  # within the lease's transaction, which is rolled back
        ("attempt", _dies, 1),  # leased and committed, nothing sent
        ("send_notice", _dies, 1),
        ("send_notice", _dies_after, 2),  # sent, nothing written down: at least once, not exactly once
        ("next_step", _dies, 2),
        ("settle", _dies, 2),
        ("settle", _dies_after, None),  # written; on PostgreSQL that statement is its own commit
        ("attempt", _dies_after, 1),  # all done
    ],
)
def test_a_worker_that_is_killed_at_any_step_leaves_its_notice_to_another(
    heart: Heart,
    receivers: Receivers,
    open_services: OpenServices,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    dies: Callable[..., Any],
    arrivals: int | None,
) -> None:
    arrivals = arrivals or (2 if heart.database.is_sqlite else 1)
    receiver = receivers()
    services, other = open_services(allow=[receiver]), open_services(allow=[receiver])
    sign_out_at(heart, receiver)
    room: Any = steps if step in {"attempt", "send_notice"} else outbox
    with monkeypatch.context() as patched:
        work = getattr(room, step)
        patched.setattr(room, step, dies if dies is _dies else dies(work))
        with pytest.raises(Killed):
            steps.deliver_due(services)

    steps.deliver_due(other)
    heart.clock.advance(seconds=heart.settings.delivery_lease_lifetime.total_seconds() + 1)
    steps.deliver_due(other)

    [row] = heart.all(LogoutDelivery)
    assert (row.state, row.lease_holder) == (DeliveryState.TOLD, None)
    assert len(receiver.tokens) == arrivals
    assert len(set(receiver.tokens)) == arrivals, "each attempt has its own jti"
    heart.clock.advance(days=2)
    assert steps.deliver_due(other) == 0
