"""The running worker: wakes at once, keeps its limits, shares with others, outlives trouble, ends in good order."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from idp import outbox
from idp.db.models import Client, DeliveryState, EndReason, LogoutDelivery, Session, User
from idp.web.services import Services
from idp.worker import Worker, deliver_due, process, sweep_expired
from idp.worker.delivering import Delivering
from idp.worker.lanes import SLOW_AFTER_SECONDS
from tests.support.heart import Heart
from tests.support.processes import until
from tests.support.receivers import Receiver, Receivers

OpenServices = Callable[..., Services]
# Long, so that a test that needs polling instead of a wake-up fails by its time.
POLL = timedelta(seconds=60)


@contextmanager
def running(*services: Services) -> Iterator[list[Worker]]:
    workers = [Worker(one) for one in services]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)


def states(heart: Heart) -> dict[str, DeliveryState]:
    return {row.id: row.state for row in heart.all(LogoutDelivery)}


def all_told(heart: Heart) -> bool:
    return set(states(heart).values()) == {DeliveryState.TOLD}


def client_at(heart: Heart, receiver: Receiver) -> Client:
    return heart.client(backchannel_logout_uri=receiver.uri)


def sign_out(heart: Heart, *clients: Client) -> User:
    person = heart.person()
    session = heart.sign_in(person)
    for client in clients:
        heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    return person


def test_a_notice_leaves_at_once_without_waiting_for_the_poll(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    client = client_at(heart, receiver)
    with running(open_services(allow=[receiver], worker_poll_lifetime=POLL)):
        sign_out(heart, client)
        assert receiver.arrived.acquire(timeout=10)
        sign_out(heart, client)
        assert receiver.arrived.acquire(timeout=10)
        until(lambda: all_told(heart))


def test_what_was_waiting_when_the_worker_starts_is_delivered(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    sign_out(heart, client_at(heart, receiver))

    with running(open_services(allow=[receiver], worker_poll_lifetime=POLL)):
        until(lambda: all_told(heart))


def test_without_any_wake_up_polling_finds_the_work(
    heart: Heart, receivers: Receivers, open_services: OpenServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        def __init__(self, *_: Any) -> None: ...

        def start(self) -> None: ...

        def stop(self) -> None: ...

        def join(self, timeout: float) -> None: ...

    monkeypatch.setattr(process, "WakeUp", Deaf)
    receiver = receivers()
    with running(open_services(allow=[receiver], worker_poll_lifetime=timedelta(seconds=0.1))):
        sign_out(heart, client_at(heart, receiver))
        until(lambda: all_told(heart))


def test_two_workers_deliver_each_notice_once(heart: Heart, receivers: Receivers, open_services: OpenServices) -> None:
    many = [receivers() for _ in range(6)]
    clients = [client_at(heart, receiver) for receiver in many]
    with running(open_services(allow=many), open_services(allow=many)):
        for _ in range(5):
            sign_out(heart, *clients)
        until(lambda: len(states(heart)) == 30 and all_told(heart))

    assert [len(receiver.bodies) for receiver in many] == [5] * 6
    assert {row.attempts for row in heart.all(LogoutDelivery)} == {1}


def test_fifty_hanging_applications_do_not_delay_a_healthy_one(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    hanging = [receivers(hangs=True) for _ in range(50)]
    healthy = receivers()
    dead_clients = [client_at(heart, receiver) for receiver in hanging]
    client = client_at(heart, healthy)
    sign_out(heart, *dead_clients)  # all due before the healthy one
    services = open_services(allow=[*hanging, healthy], delivery_request_lifetime=timedelta(seconds=20))

    with running(services):
        assert hanging[0].arrived.acquire(timeout=10)
        began = time.monotonic()
        sign_out(heart, client)
        assert healthy.arrived.acquire(timeout=10)
        waited = time.monotonic() - began
        until(lambda: sum(len(receiver.bodies) for receiver in hanging) == 50)
        for receiver in hanging:
            receiver.may_answer.set()
        until(lambda: all_told(heart))

    assert waited < 6, f"the healthy application waited {waited:.1f} s; the hanging ones may take 20 s each"


def test_one_hosts_backlog_uses_only_its_own_few_places(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    slow, healthy = receivers(hangs=True), receivers()
    slow_client, client = client_at(heart, slow), client_at(heart, healthy)
    for _ in range(12):
        sign_out(heart, slow_client)

    with running(open_services(allow=[slow, healthy], deliveries_per_host=3)):
        until(lambda: slow.most_at_once == 3)
        sign_out(heart, client)
        assert healthy.arrived.acquire(timeout=10)
        assert slow.most_at_once == 3
        slow.may_answer.set()
        until(lambda: len(states(heart)) == 13 and all_told(heart))

    assert slow.most_at_once == 3


def test_an_application_that_hangs_is_not_tried_again_meanwhile(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    """Fifty of them, with four attempts each, would otherwise take all places that there are."""
    hangs, healthy = receivers(hangs=True), receivers()
    hanging_client, client = client_at(heart, hangs), client_at(heart, healthy)
    services = open_services(allow=[hangs, healthy], delivery_request_lifetime=timedelta(seconds=20))
    with running(services):
        sign_out(heart, hanging_client)
        assert hangs.arrived.acquire(timeout=10)
        is_slow_at = time.monotonic() + SLOW_AFTER_SECONDS
        until(lambda: time.monotonic() > is_slow_at)
        for _ in range(3):
            sign_out(heart, hanging_client)  # due before what follows
        sign_out(heart, client)
        assert healthy.arrived.acquire(timeout=10)
        assert hangs.most_at_once == 1
        hangs.may_answer.set()
        until(lambda: len(states(heart)) == 5 and all_told(heart))


def test_known_dead_applications_do_not_take_the_places_of_new_notices(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    dead = [receivers(hangs=True) for _ in range(20)]
    healthy = receivers()
    sign_out(heart, *(client_at(heart, receiver) for receiver in dead))
    for row in heart.all(LogoutDelivery):
        heart.change(row, attempts=3)
    services = open_services(
        allow=[*dead, healthy], deliveries_at_once=1, delivery_request_lifetime=timedelta(seconds=20)
    )

    with running(services):
        until(lambda: sum(len(receiver.bodies) for receiver in dead) >= 2)
        sign_out(heart, client_at(heart, healthy))
        assert healthy.arrived.acquire(timeout=3)
        for receiver in dead:
            receiver.may_answer.set()
        until(lambda: all_told(heart))


def test_stopping_finishes_what_is_under_way_and_records_it(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    slow = receivers(hangs=True)
    sign_out(heart, client_at(heart, slow))

    with running(open_services(allow=[slow])) as (worker,):
        assert slow.arrived.acquire(timeout=10)
        worker.stop()
        slow.may_answer.set()

    assert all_told(heart)


def test_stopping_gives_back_what_was_not_begun(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    sign_out(heart, client_at(heart, receiver))
    delivering = Delivering(open_services(allow=[receiver]), holder="one", wake=lambda: None)
    delivering.finish()
    with pytest.raises(RuntimeError):  # a pool that takes nothing more: leased, but never begun
        delivering.claim_and_start()
    assert [row.attempts for row in heart.all(LogoutDelivery)] == [1]

    delivering.give_back_waiting()

    (row,) = heart.all(LogoutDelivery)
    assert (row.attempts, row.lease_holder, row.next_attempt_at) == (0, None, heart.now)


def test_a_database_that_is_away_for_a_while_does_not_end_the_worker(
    heart: Heart, receivers: Receivers, open_services: OpenServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receivers()
    services = open_services(allow=[receiver])
    real, failures = services.database.reading, []

    def away() -> Any:
        if len(failures) < 2:
            failures.append(1)
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))
        return real()

    monkeypatch.setattr(services.database, "reading", away)
    sign_out(heart, client_at(heart, receiver))

    with running(services):
        until(lambda: all_told(heart))

    assert len(failures) == 2


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
def test_when_the_server_cuts_every_connection_the_worker_connects_and_listens_again(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    client = client_at(heart, receiver)

    with running(open_services(allow=[receiver], worker_poll_lifetime=POLL)):
        sign_out(heart, client)
        until(lambda: all_told(heart))
        with heart.database.reading() as tx:
            tx.execute(text(_CUT_OTHERS))
        heart.database.engine.dispose()
        sign_out(heart, client)
        until(lambda: all_told(heart))
        sign_out(heart, client)
        until(lambda: all_told(heart))


_CUT_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND left(application_name, 3) = 'idp'"
)


def test_an_outcome_that_could_not_be_recorded_is_repeated_after_the_lease(
    heart: Heart, receivers: Receivers, open_services: OpenServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receivers()
    services = open_services(allow=[receiver], worker_poll_lifetime=timedelta(seconds=0.1))
    settle, failures = outbox.settle, []

    def fail_once(*positional: Any, **named: Any) -> bool:
        if not failures:
            failures.append(1)
            raise OperationalError("UPDATE", {}, Exception("connection lost"))
        return settle(*positional, **named)

    monkeypatch.setattr(outbox, "settle", fail_once)
    sign_out(heart, client_at(heart, receiver))

    with running(services):
        assert receiver.arrived.acquire(timeout=10)
        until(lambda: failures)
        heart.clock.advance(seconds=31)
        until(lambda: all_told(heart))

    assert len(receiver.bodies) == 2


def test_the_worker_ends_expired_sessions_and_tells_their_applications(
    heart: Heart, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers()
    client = client_at(heart, receiver)
    session = heart.sign_in(heart.person())
    heart.tokens_for(session, client)
    heart.clock.advance(hours=24)

    with running(open_services(allow=[receiver])):
        assert receiver.arrived.acquire(timeout=10)
        until(lambda: all_told(heart))

    assert heart.session(session.session_id).end_reason == EndReason.IDLE


def test_sweeping_goes_on_until_nothing_is_due(heart: Heart, open_services: OpenServices) -> None:
    for _ in range(3):
        person = heart.person()
        for _ in range(25):
            heart.sign_in(person)
    heart.clock.advance(hours=24)
    services = open_services()

    assert sweep_expired(services) == 75
    assert sweep_expired(services) == 0
    assert heart.all(Session, Session.ended_at.is_(None)) == []


def test_log_lines_hold_no_token_and_no_address_with_its_query(
    heart: Heart, receivers: Receivers, open_services: OpenServices, capsys: pytest.CaptureFixture[str]
) -> None:
    from structlog.testing import capture_logs

    receiver = receivers(500)
    receiver.uri += "?key=hunter2"
    services = open_services(allow=[receiver])
    sign_out(heart, client_at(heart, receiver))

    with capture_logs() as lines:
        deliver_due(services)

    assert [line["event"] for line in lines] == ["notice_attempted"]
    said = str(lines) + "".join(capsys.readouterr())
    assert receiver.tokens[0] not in said
    assert "hunter2" not in said
