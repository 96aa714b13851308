"""What a second sign-in in the same browser changes, and what a cookie's renewal opens to nobody else."""

from datetime import timedelta
from typing import Any

import pytest

from idp import sessions
from idp.db.models import AuditEvent, EndReason, LogoutEvent, User
from idp.kit.opaque import Secret
from idp.sessions import Device, StartedSession
from tests.support.heart import Heart

PHONE = Device("Ada's phone", "Android", "Chrome 142", "192.0.2.20")


def sign_in(heart: Heart, person: User, previous: StartedSession | None = None, **given: Any) -> StartedSession:
    with heart.database.transaction() as tx:
        started = sessions.start_browser_session(
            tx,
            user_id=person.id,
            expected_epoch=0,
            **{"amr": ["pwd"], "acr": None, "keep_signed_in": False, "device": PHONE, **given},
            previous_handle=previous.handle.reveal() if previous else None,
            settings=heart.settings,
            now=heart.now,
        )
    assert isinstance(started, StartedSession)
    return started


def test_a_session_says_when_how_and_on_what_the_person_signed_in(heart: Heart) -> None:
    person = heart.person()

    started = sign_in(heart, person, amr=["pwd", "otp"], acr="urn:example:two", keep_signed_in=True)

    row = heart.session(started.session_id)
    assert Device(row.device_name, row.os_name, row.agent_name, row.ip_address) == PHONE
    assert (row.auth_time, row.started_at, row.last_active_at) == (heart.now, heart.now, heart.now)
    assert (row.amr, row.acr, row.keep_signed_in) == (["pwd", "otp"], "urn:example:two", True)
    assert (started.keep_for, started.ended) == (timedelta(days=90), None)
    [event] = heart.all(AuditEvent, AuditEvent.kind == "sign_in")
    assert event.details == {"amr": ["pwd", "otp"], "agent": "Chrome 142", "os": "Android"}
    assert event.actor == "person"


@pytest.mark.spec("OIDC Core", "3.1.2.1")
def test_signing_in_once_more_changes_how_and_when_but_not_where_and_since_when(heart: Heart) -> None:
    person = heart.person()
    first = sign_in(heart, person)
    began = heart.now
    heart.clock.advance(minutes=5)

    again = sign_in(
        heart, person, first, amr=["pwd", "otp"], acr="urn:example:two", device=Device(), keep_signed_in=True
    )

    row = heart.session(first.session_id)
    assert (row.amr, row.acr, row.auth_time, row.last_active_at) == (
        ["pwd", "otp"],
        "urn:example:two",
        heart.now,
        heart.now,
    )
    assert (row.started_at, row.os_name, row.agent_name) == (began, "Android", "Chrome 142")
    assert (again.session_id, again.keep_for, row.keep_signed_in) == (row.id, timedelta(days=90), True)
    [event] = heart.all(AuditEvent, AuditEvent.kind == "reauthenticated")
    assert (event.user_id, event.session_id, event.details["amr"]) == (person.id, row.id, ["pwd", "otp"])


def test_who_signs_in_after_somebody_else_is_told_what_that_ended(heart: Heart) -> None:
    first = sign_in(heart, heart.person())

    second = sign_in(heart, heart.person(), first)

    assert second.ended is not None
    assert (second.ended.browsers, second.ended.apps) == (1, 0)
    [end] = heart.all(LogoutEvent)
    assert end.reason == EndReason.OTHER_PERSON_SIGNED_IN


def test_while_the_previous_cookie_is_good_no_other_one_is(heart: Heart) -> None:
    person = heart.person()
    first = sign_in(heart, person)
    second = sign_in(heart, person, first)
    forged = StartedSession(first.session_id, Secret(f"{first.session_id}.{'A' * 22}"), is_reauthentication=False)

    third = sign_in(heart, heart.person(), forged)

    assert third.ended is None
    assert heart.current(second.handle) is not None


def test_the_secret_of_an_ended_session_is_not_renewed(heart: Heart) -> None:
    person = heart.person()
    started = sign_in(heart, person)
    heart.end(person, started.session_id)
    hashed = heart.session(started.session_id).secret_hash

    with pytest.raises(LookupError), heart.database.transaction() as tx:
        sessions.renew_secret(tx, session_id=started.session_id, now=heart.now, keep_previous=True)

    assert heart.session(started.session_id).secret_hash == hashed
