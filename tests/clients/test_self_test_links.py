"""Links to self-tests: who may use one, and how often; each rule on both databases."""

from typing import Any

import pytest
from sqlalchemy import select, update

from idp.clients.lifecycle import delete_client, disable_client, enable_client
from idp.clients.self_test import (
    GIVEN_UP_AFTER,
    LEASE,
    LIFETIME,
    MOST_TESTS,
    PAUSE,
    Asked,
    SelfTest,
    TakenTest,
    ask_for_test,
    find_self_test,
    finish_test,
    has_waiting_test,
    make_self_test_link,
    open_self_test,
    take_test,
    withdraw_self_test_links,
)
from idp.db.models import AuditEvent, Client, SelfTestLink
from idp.retention import KINDS, invalidate_half_way, purge_batch
from tests.support.heart import Heart

MINE, OTHER = "my browser", "another browser"
RESULTS: list[dict[str, Any]] = [{"case": "genuine", "status": 200}]


class Links:
    """The rules, one transaction each."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.client: Client = heart.client(name="Wiki", backchannel_logout_uri="https://app.example/logout")
        self.handle = self.make()

    def make(self) -> str:
        with self.heart.database.transaction() as tx:
            handle, _ = make_self_test_link(tx, client_id=self.client.id, actor="operator", now=self.heart.now)
        return handle.reveal()

    def seen(self, browser: str | None = MINE, handle: str | None = None) -> SelfTest | None:
        with self.heart.database.reading() as tx:
            return find_self_test(tx, handle or self.handle, browser=browser, now=self.heart.now)

    def open(self, browser: str = MINE) -> bool:
        with self.heart.database.transaction() as tx:
            return open_self_test(tx, self.handle, browser=browser, ip_address="192.0.2.1", now=self.heart.now)

    def ask(self) -> Asked:
        test = self.seen()
        assert test is not None
        with self.heart.database.transaction() as tx:
            return ask_for_test(tx, test, ip_address="192.0.2.1", now=self.heart.now)

    def take(self) -> TakenTest | None:
        with self.heart.database.transaction() as tx:
            taken = take_test(tx, now=self.heart.now)
        with self.heart.database.reading() as tx:
            assert not has_waiting_test(tx, self.heart.now)
        return taken

    def finish(self, taken: TakenTest | None, results: list[dict[str, Any]] = RESULTS) -> bool:
        assert taken is not None
        with self.heart.database.transaction() as tx:
            return finish_test(tx, taken, results, now=self.heart.now)

    def withdraw(self) -> int:
        with self.heart.database.transaction() as tx:
            return withdraw_self_test_links(tx, client_id=self.client.id, actor="operator", now=self.heart.now)


@pytest.fixture
def links(heart: Heart) -> Links:
    return Links(heart)


def test_a_link_belongs_to_the_browser_that_opens_it_first(links: Links) -> None:
    before = links.seen()
    assert before is not None
    assert not before.is_open
    assert not before.is_taken

    assert links.open(MINE)
    assert not links.open(OTHER)

    mine, other, nobody = links.seen(MINE), links.seen(OTHER), links.seen(None)
    assert mine is not None
    assert mine.is_open
    for elsewhere in (other, nobody):
        assert elsewhere is not None
        assert (elsewhere.is_open, elsewhere.is_taken) == (False, True)


def test_a_link_is_good_for_its_lifetime_and_only_with_its_secret(links: Links) -> None:
    links.open()
    identifier, _, secret = links.handle.partition(".")
    another = links.make()

    for wrong in (
        "x",
        identifier,
        f"{identifier}.{another.partition('.')[2]}",
        links.handle[:-1],
        f"{secret}.{secret}",
    ):
        assert links.seen(handle=wrong) is None

    links.heart.clock.advance(seconds=LIFETIME.total_seconds() - 1)
    assert links.seen() is not None
    links.heart.clock.advance(seconds=1)
    assert links.seen() is None


def test_a_link_dies_with_its_client_and_by_being_withdrawn(links: Links) -> None:
    links.open()
    now = links.heart.now
    with links.heart.database.transaction() as tx:
        disable_client(tx, client_id=links.client.id, now=now)
    assert links.seen() is None
    with links.heart.database.transaction() as tx:
        enable_client(tx, client_id=links.client.id, now=now)
    assert links.seen() is not None

    assert links.withdraw() == 1
    assert links.seen() is None
    assert links.withdraw() == 0

    links.handle = links.make()
    with links.heart.database.transaction() as tx:
        delete_client(tx, client_id=links.client.id, now=now)
    assert links.seen() is None


def test_one_test_at_a_time_not_too_soon_and_not_for_ever(links: Links) -> None:
    links.open()
    assert links.ask() is Asked.YES
    assert links.ask() is Asked.UNDER_WAY
    links.finish(links.take())
    assert links.ask() is Asked.TOO_SOON

    with links.heart.database.transaction() as tx:
        tx.execute(update(SelfTestLink).values(tests=MOST_TESTS - 1))
    links.heart.clock.advance(seconds=PAUSE.total_seconds())
    assert links.ask() is Asked.YES
    links.finish(links.take())

    links.heart.clock.advance(seconds=PAUSE.total_seconds())
    assert links.ask() is Asked.USED_UP
    test = links.seen()
    assert test is not None
    assert test.tests_left == 0


def test_a_test_is_taken_once_and_again_when_its_worker_died(links: Links) -> None:
    links.open()
    assert links.take() is None
    links.ask()

    first = links.take()
    assert first is not None
    assert links.take() is None
    links.heart.clock.advance(seconds=LEASE.total_seconds())
    second = links.take()

    assert second is not None
    assert links.finish(second)
    test = links.seen()
    assert test is not None
    assert (test.is_waiting, test.results) == (False, tuple(RESULTS))


def test_a_test_that_nobody_takes_is_given_up_and_may_be_asked_for_again(links: Links) -> None:
    links.open()
    links.ask()
    links.heart.clock.advance(seconds=GIVEN_UP_AFTER.total_seconds())

    test = links.seen()

    assert test is not None
    assert (test.is_waiting, test.is_given_up) == (False, True)
    assert links.take() is None
    assert links.ask() is Asked.YES
    assert links.take() is not None


def test_a_late_result_overwrites_no_later_test_and_revives_no_link(links: Links) -> None:
    links.open()
    links.ask()
    late = links.take()
    links.heart.clock.advance(seconds=GIVEN_UP_AFTER.total_seconds())
    links.ask()

    assert not links.finish(late, [{"case": "genuine", "status": 500}])
    test = links.seen()
    assert test is not None
    assert (test.is_waiting, test.results) == (True, ())

    taken = links.take()
    links.withdraw()
    assert not links.finish(taken)


def test_a_clock_that_stepped_back_leaves_no_test_waiting(links: Links) -> None:
    links.open()
    links.ask()
    taken = links.take()
    links.heart.clock.advance(seconds=-30)

    links.finish(taken)

    test = links.seen()
    assert test is not None
    assert not test.is_waiting


def test_a_disabled_clients_test_is_not_taken(links: Links) -> None:
    links.open()
    links.ask()
    with links.heart.database.transaction() as tx:
        disable_client(tx, client_id=links.client.id, now=links.heart.now)

    assert links.take() is None


def test_after_a_restore_no_link_is_good_and_a_day_later_it_is_purged(links: Links) -> None:
    links.open()
    with links.heart.database.transaction() as tx:
        while invalidate_half_way(tx, now=links.heart.now):
            pass
    assert links.seen() is None

    links.handle = links.make()
    kind = next(kind for kind in KINDS if kind.name == "self_test_links")
    links.heart.clock.advance(hours=8 + 25)
    given: dict[str, Any] = {"settings": links.heart.settings, "now": links.heart.now}
    with links.heart.database.transaction() as tx:
        assert purge_batch(tx, kind, **given) == 2
    assert links.heart.all(SelfTestLink) == []


def test_what_happens_to_a_link_is_audited_and_its_secret_is_nowhere(links: Links) -> None:
    links.open()
    links.ask()
    links.withdraw()
    handle = links.make()
    secret = handle.partition(".")[2]

    with links.heart.database.reading() as tx:
        trail = tx.scalars(select(AuditEvent).where(AuditEvent.client_id == links.client.id)).all()
        [row] = tx.scalars(select(SelfTestLink)).all()

    assert sorted(event.kind for event in trail if "self_test" in event.kind) == [
        "self_test_asked",
        "self_test_link_made",
        "self_test_link_made",
        "self_test_link_opened",
        "self_test_links_withdrawn",
    ]
    assert secret not in str([event.details for event in trail])
    assert secret.encode() not in row.secret_hash
