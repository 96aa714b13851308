"""The age of the last report of a worker: of the liveliest, never of one that hangs or stopped."""

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from idp import outbox
from idp.web.services import Services
from idp.worker import Worker, rounds
from tests.operation.numbers import gauges
from tests.support.heart import Heart


def test_the_age_of_the_last_report_is_that_of_the_liveliest_worker(heart: Heart, services: Services) -> None:
    assert gauges(services)["idp_worker_heartbeat_age_seconds"] == float("inf")

    for name in ("one", "two"):
        with heart.database.transaction() as tx:
            outbox.report_worker(tx, name=name, now=heart.now)
        heart.clock.advance(seconds=20)

    assert gauges(services)["idp_worker_heartbeat_age_seconds"] == 20


def test_a_report_is_one_row_per_worker_and_old_ones_go(heart: Heart) -> None:
    from idp.db.models import WorkerHeartbeat

    def report(name: str) -> None:
        with heart.database.transaction() as tx:
            outbox.report_worker(tx, name=name, now=heart.now)

    report("vanished")
    heart.clock.advance(hours=23)
    report("alive")
    report("alive")
    assert {row.name for row in heart.all(WorkerHeartbeat)} == {"vanished", "alive"}

    heart.clock.advance(hours=2)
    report("alive")
    assert [row.name for row in heart.all(WorkerHeartbeat)] == ["alive"]


def test_a_running_worker_reports_and_is_forgotten_when_it_stops_in_good_order(
    heart: Heart, open_services: Callable[..., Services]
) -> None:
    import threading

    from tests.support.processes import until

    def last_report() -> Any:
        with heart.database.reading() as tx:
            return outbox.find_last_report(tx)

    worker = Worker(open_services())
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: last_report() == heart.now)
    finally:
        worker.stop()
        thread.join(30)
    assert last_report() is None


def test_a_worker_whose_loop_hangs_reports_no_more(
    heart: Heart, open_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    services = open_services()
    stopping = Event()
    reported: list[str] = []
    monkeypatch.setattr(outbox, "report_worker", lambda *_, name, now: reported.append(name))
    monkeypatch.setattr(stopping, "wait", lambda _seconds: stopping.set())
    hangs_since = time.monotonic() - 60 - services.settings.worker_poll_lifetime.total_seconds()

    rounds.report_regularly(services, stopping, holder="one", came_round_at=lambda: hangs_since)

    assert reported == []
