"""An application that is down for an hour, notices that nobody can deliver, and clocks that jump: every notice arrives.

Time is moved by hand, from one due moment to the next, as the worker would wait.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from idp import outbox
from idp.db.models import Client, DeliveryState, LogoutDelivery
from idp.web.services import Services
from idp.worker.steps import deliver_due
from tests.support.databases import BACKENDS
from tests.support.heart import Heart
from tests.support.receivers import Receiver, Receivers

OpenServices = Callable[..., Services]


@pytest.fixture(params=BACKENDS)
def database_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sign_out_of(heart: Heart, *clients: Client) -> None:
    person = heart.person()
    session = heart.sign_in(person)
    for client in clients:
        heart.tokens_for(session, client)
    heart.end(person, session.session_id)


def next_due(heart: Heart) -> datetime | None:
    with heart.database.reading() as tx:
        return outbox.find_next_due(tx)


def work_until(heart: Heart, services: Services, end: datetime) -> None:
    """Deliver whatever comes due, when it does."""
    while (due := next_due(heart)) is not None and due <= end:
        heart.clock.moment = max(heart.now, due)
        deliver_due(services)
    heart.clock.moment = end


def states(heart: Heart) -> set[DeliveryState]:
    return {row.state for row in heart.all(LogoutDelivery)}


def test_an_application_that_is_down_for_an_hour_is_asked_seldom_and_told_soon_after(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    down, healthy = receivers(503), receivers()
    services = open_services(allow=[down, healthy])
    sign_out_of(heart, heart.client(backchannel_logout_uri=down.uri), heart.client(backchannel_logout_uri=healthy.uri))
    began = heart.now

    work_until(heart, services, began + timedelta(hours=1))
    attempts = len(down.bodies)
    down.statuses = [200]
    work_until(heart, services, began + timedelta(hours=1, minutes=10))

    assert len(healthy.bodies) == 1
    assert 8 <= attempts <= 20
    assert len(down.bodies) == attempts + 1
    assert states(heart) == {DeliveryState.TOLD}


def poison(heart: Heart, receivers: Receivers) -> list[Client]:
    """Clients whose notices can't arrive, each for another reason."""
    unreachable = receivers()
    wrong: list[dict[str, Any]] = [
        {"uri": "http://"},
        {"uri": "not an address"},
        {"uri": "http://127.0.0.1:1/nobody-listens"},
        {"uri": f"http://127.0.0.1:{unreachable.port}/blocked"},
        {"uri": "http://no-such-host.invalid/"},
        {"algorithm": "none"},
        {"algorithm": "EdDSA"},
    ]
    clients = []
    for changes in wrong:
        clients.append(heart.client(backchannel_logout_uri=unreachable.uri))
        sign_out_of(heart, clients[-1])
        (row,) = heart.all(LogoutDelivery, LogoutDelivery.client_id == clients[-1].id)
        heart.change(row, **changes)
    return clients


def test_notices_that_nobody_can_deliver_neither_stop_nor_delay_the_others(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    bad = [client.id for client in poison(heart, receivers)]
    healthy = receivers()
    services = open_services(allow=[healthy], delivery_request_lifetime=timedelta(seconds=1))
    good = heart.client(backchannel_logout_uri=healthy.uri)
    for _ in range(3):
        sign_out_of(heart, good)
        deliver_due(services)
        heart.clock.advance(minutes=11)

    assert len(healthy.bodies) == 3
    poisoned = heart.all(LogoutDelivery, LogoutDelivery.client_id.in_(bad))
    assert {row.state for row in poisoned} == {DeliveryState.PENDING}
    assert all(row.last_failure for row in poisoned), "operators see why"
    heart.clock.advance(hours=25)
    deliver_due(services)
    assert {row.state for row in heart.all(LogoutDelivery, LogoutDelivery.client_id.in_(bad))} == {
        DeliveryState.GAVE_UP
    }


@pytest.mark.parametrize("step", [timedelta(minutes=-5), timedelta(hours=1)])
def test_a_clock_that_jumps_while_notices_wait_or_are_under_way_costs_none(
    heart: Heart, receivers: Receivers, open_services: OpenServices, step: timedelta
) -> None:
    receiver = receivers(503, 200)
    services = open_services(allow=[receiver])
    sign_out_of(heart, heart.client(backchannel_logout_uri=receiver.uri))
    deliver_due(services)  # refused for now: waits
    sign_out_of(heart, heart.client(backchannel_logout_uri=receiver.uri))
    with heart.database.transaction() as tx:  # leased by a worker that dies
        leased = outbox.claim_due(tx, holder="dead", limit=10, now=heart.now, settings=services.settings)

    heart.clock.moment += step
    work_until(heart, services, heart.now + timedelta(minutes=6))

    assert len(leased) == 1
    assert states(heart) == {DeliveryState.TOLD}
    assert len(receiver.bodies) == 3


def test_ends_while_a_clock_is_behind_stand_and_are_told(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver: Receiver = receivers()
    services = open_services(allow=[receiver])
    person, client = heart.person(), heart.client(backchannel_logout_uri=receiver.uri)
    session = heart.sign_in(person)
    tokens = heart.tokens_for(session, client)
    now = heart.now

    heart.clock.advance(minutes=-2)
    heart.end(person, session.session_id)
    refused = heart.refresh(tokens, client)
    heart.clock.moment = now
    deliver_due(services)

    assert getattr(refused, "error", None) == "invalid_grant"
    assert getattr(heart.refresh(tokens, client), "error", None) == "invalid_grant"
    assert heart.current(session.handle) is None
    assert len(receiver.bodies) == 1
