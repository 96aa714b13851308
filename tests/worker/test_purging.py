"""The worker deletes what nothing needs any more, by itself, in the background, and stops in the middle when asked."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from idp.db.models import AuditEvent, Session
from idp.worker import purge, rounds
from tests.retention.purging import crowd
from tests.support.heart import Heart
from tests.support.processes import until
from tests.worker.test_worker import OpenServices, running


def old_sessions(heart: Heart, people: int) -> None:
    crowd(heart, people)
    heart.clock.moment += timedelta(days=91)


def test_a_running_worker_purges(heart: Heart, open_services: OpenServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_PURGE_AFTER_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(rounds, "PURGE_PAUSE_SECONDS", 0.0)
    old_sessions(heart, 2)

    with running(open_services()):
        until(lambda: not heart.all(Session))


def test_it_goes_on_after_a_database_that_was_away(
    heart: Heart, open_services: OpenServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "FIRST_PURGE_AFTER_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(rounds, "PURGE_PAUSE_SECONDS", 0.0)
    old_sessions(heart, 1)
    original, failures = purge, []

    def flaky(*given: Any, **more: Any) -> dict[str, int]:
        if not failures:
            failures.append(1)
            raise OperationalError("SELECT 1", {}, Exception("away"))
        return original(*given, **more)

    monkeypatch.setattr(rounds, "purge", flaky)

    with running(open_services()):
        until(lambda: not heart.all(Session))
    assert failures


def test_it_stops_between_two_batches(heart: Heart, open_services: OpenServices) -> None:
    old_sessions(heart, 1)

    gone = purge(open_services(), pause=lambda: True)

    assert gone == {}
    assert len(heart.all(Session)) == 2


def test_it_says_how_many_rows_of_each_kind(heart: Heart, open_services: OpenServices) -> None:
    old_sessions(heart, 2)

    gone = purge(open_services())

    assert gone == {"authorization_codes": 4, "participations": 4, "sessions": 4, "logout_events": 2}
    assert heart.all(AuditEvent)
