"""What operators see of notices: how telling an application goes, what waits, what died, and whether a worker lives."""

from datetime import timedelta
from typing import Any

import pytest

from idp.db.models import Client, DeliveryState, WorkerHeartbeat
from idp.outbox import inspection
from idp.outbox.backlog import Backlog, measure_backlog
from idp.outbox.heartbeat import find_last_report, forget_worker, report_worker
from idp.outbox.inspection import DEAD, Health, count_dead, list_deliveries, measure_health
from tests.outbox.notices import MINUTE, notices
from tests.support.heart import Heart

PENDING, TOLD, CANNOT = DeliveryState.PENDING, DeliveryState.TOLD, DeliveryState.CANNOT_BE_TOLD
REFUSED, GAVE_UP = DeliveryState.REFUSED, DeliveryState.GAVE_UP


def listed(heart: Heart, client: Client | None, *states: DeliveryState, limit: int = 10) -> list[str]:
    with heart.database.reading() as tx:
        rows = list_deliveries(tx, client_id=client.id if client else None, states=states, limit=limit)
        return [row.id for row in rows]


def health(heart: Heart, client: Client) -> Health:
    with heart.database.reading() as tx:
        return measure_health(tx, client_id=client.id, now=heart.now)


def test_health_counts_what_became_of_an_applications_notices_and_of_nobody_elses(heart: Heart) -> None:
    client, _ = notices(
        heart,
        {"state": TOLD, "created_at": -30, "settled_at": -20},
        {"state": TOLD, "created_at": -40, "settled_at": -10},
        {"state": TOLD, "created_at": -50, "settled_at": -45},
        {"state": GAVE_UP, "created_at": -9, "last_failure": "answered 500", "last_attempt_at": -2},
        {"state": PENDING, "created_at": -7, "attempts": 1, "last_failure": "answered 503", "last_attempt_at": -4},
        {"state": PENDING, "created_at": -3},
        {"state": CANNOT, "created_at": -60},
    )
    notices(heart, {"state": REFUSED, "created_at": 0, "last_failure": "answered 404", "last_attempt_at": 0})

    seen = health(heart, client)

    assert seen == Health(
        looked_at=6,
        told=3,
        dead=1,
        pending=2,
        retrying=1,
        last_success_at=heart.now - 10 * MINUTE,
        last_failure_at=heart.now - 4 * MINUTE,
        last_failure="answered 503",
        oldest_pending=7 * MINUTE,
    )
    assert seen.error_rate == 0.25


def test_an_application_without_notices_is_neither_well_nor_ill(heart: Heart) -> None:
    seen = health(heart, heart.client())

    assert seen == Health(0, 0, 0, 0, 0, None, None, None, None)
    assert seen.error_rate is None


def test_of_failures_at_one_moment_the_later_written_is_the_last_and_old_notices_count_no_more(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = notices(
        heart,
        {"state": REFUSED, "last_failure": "answered 404"},
        {"state": GAVE_UP, "last_failure": "answered 500"},
        {"state": TOLD},
    )
    monkeypatch.setattr(inspection, "HEALTH_WINDOW", 2)

    seen = health(heart, client)

    assert (seen.looked_at, seen.told, seen.dead) == (2, 1, 1)
    assert seen.last_failure == "answered 500"


def test_dead_notices_are_counted_for_one_application(heart: Heart) -> None:
    client, _ = notices(heart, *({"state": state} for state in (PENDING, TOLD, CANNOT, REFUSED, GAVE_UP)))
    notices(heart, {"state": GAVE_UP})

    with heart.database.reading() as tx:
        assert count_dead(tx, client_id=client.id) == 2


def test_one_applications_notices_are_listed_the_newest_first_and_only_in_these_states(heart: Heart) -> None:
    client, (old, one, two, told) = notices(
        heart, {"state": GAVE_UP, "created_at": -5}, {"state": PENDING}, {"state": PENDING}, {"state": TOLD}
    )
    notices(heart, {"state": PENDING})

    assert listed(heart, client, PENDING, GAVE_UP) == [two, one, old]
    assert listed(heart, client, *DeliveryState) == [told, two, one, old]
    assert listed(heart, client, *DeliveryState, limit=2) == [told, two]


def test_notices_written_at_one_moment_are_listed_in_the_order_of_their_identifiers(heart: Heart) -> None:
    client, written = notices(heart, *({"state": PENDING} for _ in range(6)))

    assert listed(heart, client, PENDING) == sorted(written, reverse=True)


def test_of_all_what_waits_is_listed_by_when_it_is_due_and_then_what_died_lately(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (later, soon, early, tie, late, _told) = notices(
        heart,
        {"state": PENDING, "next_attempt_at": 9},
        {"state": PENDING, "next_attempt_at": 2},
        {"state": REFUSED, "settled_at": -8},
        {"state": GAVE_UP, "settled_at": -8},
        {"state": GAVE_UP, "settled_at": -1},
        {"state": TOLD},
    )

    assert listed(heart, None, PENDING, *DEAD) == [soon, later, late, tie, early]
    assert listed(heart, None, PENDING, *DEAD, limit=3) == [soon, later, late]
    assert listed(heart, None, PENDING, limit=1) == [soon]
    assert listed(heart, None, PENDING, TOLD) == [soon, later]
    assert listed(heart, None, GAVE_UP) == [late, tie]
    monkeypatch.setattr(inspection, "MAXIMUM_LISTED", 1)
    assert listed(heart, None, *DEAD) == [late]


def test_the_backlog_says_how_long_the_oldest_waits_and_for_how_long_no_worker_came(heart: Heart) -> None:
    def backlog() -> Backlog:
        with heart.database.reading() as tx:
            return measure_backlog(tx, now=heart.now)

    assert backlog() == Backlog(0, timedelta(0), timedelta(0))
    notices(heart, {"state": TOLD, "created_at": -99, "next_attempt_at": -99})
    notices(heart, {"state": PENDING, "created_at": -30, "next_attempt_at": 1})
    assert backlog() == Backlog(1, 30 * MINUTE, timedelta(0))
    notices(heart, {"state": PENDING, "created_at": -8, "next_attempt_at": -3})
    assert backlog() == Backlog(2, 30 * MINUTE, 3 * MINUTE)


def test_each_worker_reports_for_itself_and_is_forgotten_when_it_stops_or_a_day_later(heart: Heart) -> None:
    def report(name: str) -> None:
        with heart.database.transaction() as tx:
            report_worker(tx, name=name, now=heart.now)

    def last() -> Any:
        with heart.database.reading() as tx:
            return find_last_report(tx)

    assert last() is None
    began = heart.now
    report("one")
    report("two")
    heart.clock.advance(hours=1)
    report("two")
    assert {row.name: row.seen_at for row in heart.all(WorkerHeartbeat)} == {"one": began, "two": heart.now}
    assert last() == heart.now

    with heart.database.transaction() as tx:
        forget_worker(tx, name="two")
    assert last() == began
    heart.clock.advance(hours=23)
    report("three")
    assert {row.name for row in heart.all(WorkerHeartbeat)} == {"one", "three"}, "a day is not more than a day"
    heart.clock.advance(microseconds=1)
    report("three")
    assert {row.name for row in heart.all(WorkerHeartbeat)} == {"three"}
