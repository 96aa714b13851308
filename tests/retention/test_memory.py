"""A node notices that its database went back in time, and is content once `idp db restored` was run."""

from typing import Any

import pytest
from sqlalchemy import delete

from idp.audit import record
from idp.db.models import AuditEvent
from idp.operation.checks import State, check_history
from idp.retention.memory import FILE, RESTORED, find_newest, recall
from idp.web.services import Services
from tests.support.heart import Heart


@pytest.fixture
def services(heart: Heart, open_services: Any) -> Services:
    opened: Services = open_services()
    return opened


def look(services: Services, heart: Heart) -> State:
    return check_history(services, heart.now).state


def lose_what_came_after(heart: Heart, kept: set[str]) -> None:
    """As a restored back-up does to the trail."""
    with heart.database.transaction() as tx:
        tx.execute(delete(AuditEvent).where(AuditEvent.id.not_in(kept)))


def test_a_database_that_lost_what_the_node_saw_is_not_ready_until_it_is_made_safe(
    heart: Heart, services: Services
) -> None:
    person = heart.person()
    session = heart.sign_in(person)
    backed_up = {row.id for row in heart.all(AuditEvent)}
    assert look(services, heart) is State.OK
    heart.clock.advance(minutes=1)
    heart.end(person, session.session_id)
    assert look(services, heart) is State.OK

    lose_what_came_after(heart, backed_up)

    assert look(services, heart) is State.FAILED
    heart.clock.advance(minutes=1)
    heart.sign_in(person)  # whatever happens in it since: it is still the old one
    assert look(services, heart) is State.FAILED
    assert "idp db restored" in check_history(services, heart.now).message

    with heart.database.transaction() as tx:
        record(tx, RESTORED, now=heart.now)
    assert look(services, heart) is State.OK
    assert look(services, heart) is State.OK


def test_the_word_of_an_earlier_restore_does_not_count(heart: Heart, services: Services) -> None:
    with heart.database.transaction() as tx:
        record(tx, RESTORED, now=heart.now)
    backed_up = {row.id for row in heart.all(AuditEvent)}
    heart.clock.advance(minutes=1)
    heart.person()
    look(services, heart)

    lose_what_came_after(heart, backed_up)

    assert look(services, heart) is State.FAILED


def test_what_was_old_enough_to_be_purged_proves_nothing(heart: Heart, services: Services) -> None:
    heart.person()
    look(services, heart)
    heart.clock.advance(seconds=heart.settings.audit_lifetime.total_seconds() + 1)

    lose_what_came_after(heart, set())

    assert look(services, heart) is State.OK


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"event": 1}', '{"event": "x", "at": "never"}', "\x00"])
def test_a_broken_memory_is_made_anew(heart: Heart, services: Services, kept: str) -> None:
    heart.person()
    (services.settings.var_dir / FILE).write_text(kept)

    assert look(services, heart) is State.OK

    with heart.database.reading() as tx:
        assert recall(services.settings) == find_newest(tx)


def test_a_node_that_can_write_nothing_says_that_it_would_not_notice(heart: Heart, services: Services) -> None:
    heart.person()
    (services.settings.var_dir / FILE).mkdir()

    assert look(services, heart) is State.WARNING
