"""Browser sessions: fixation, renewal, another person in the same browser, and when a cookie is still good."""

from datetime import timedelta

import pytest

from idp import sessions
from idp.db.models import AuditEvent, EndReason, Session
from idp.kit.opaque import Secret
from idp.sessions import Device, SignInRefused
from tests.support.heart import Heart


def test_a_sign_in_is_found_by_its_cookie_and_by_nothing_else(heart: Heart) -> None:
    person = heart.person()
    started = heart.sign_in(person)

    found = heart.current(started.handle)

    assert found is not None
    assert (found.id, found.user_id, found.email) == (started.session_id, person.id, person.email)
    other_secret = heart.sign_in(person).handle.reveal().partition(".")[2]
    for wrong in (started.session_id, f"{started.session_id}.{other_secret}", "", "x" * 49, "\x00", "a.b"):
        assert heart.current(Secret(wrong)) is None


def test_the_cookies_secret_is_stored_only_as_a_hash(heart: Heart) -> None:
    started = heart.sign_in(heart.person())

    secret = started.handle.reveal().partition(".")[2].encode()

    row = heart.session(started.session_id)
    assert all(secret not in value for value in vars(row).values() if isinstance(value, bytes))


def test_a_new_sign_in_is_always_a_new_session(heart: Heart) -> None:
    person = heart.person()

    first, second = heart.sign_in(person), heart.sign_in(person)

    assert first.session_id != second.session_id
    assert heart.current(first.handle) is not None


@pytest.mark.spec("OIDC Core", "3.1.2.1")
def test_signing_in_again_in_the_same_browser_keeps_the_session_with_a_new_secret_and_auth_time(heart: Heart) -> None:
    person = heart.person()
    first = heart.sign_in(person)
    heart.clock.advance(minutes=5)

    second = heart.sign_in(person, previous=first.handle)

    assert second.is_reauthentication
    assert second.session_id == first.session_id
    assert second.handle != first.handle
    found = heart.current(second.handle)
    assert found is not None
    assert found.auth_time == heart.now
    assert found.started_at < heart.now
    parallel_tab = heart.current(first.handle)
    assert parallel_tab is not None
    assert parallel_tab.was_previous_secret
    heart.clock.advance(seconds=30)
    assert heart.current(first.handle) is None


def test_another_person_signing_in_ends_the_old_browser_session(heart: Heart) -> None:
    first = heart.sign_in(heart.person())

    second = heart.sign_in(heart.person(), previous=first.handle)

    assert not second.is_reauthentication
    assert heart.session(first.session_id).end_reason == EndReason.OTHER_PERSON_SIGNED_IN
    assert heart.current(first.handle) is None
    assert heart.current(second.handle) is not None


@pytest.mark.parametrize("is_ended", [True, False], ids=["ended", "idle for too long"])
def test_a_session_that_is_over_is_neither_taken_up_nor_ended_by_a_sign_in_with_its_cookie(
    heart: Heart, is_ended: bool
) -> None:
    person, other = heart.person(), heart.person()
    before = heart.sign_in(person)
    if is_ended:
        heart.end(person, before.session_id)
    else:
        heart.clock.advance(seconds=heart.settings.browser_idle_lifetime.total_seconds())
    of_before = heart.session(before.session_id)

    again = heart.sign_in(person, previous=before.handle)
    by_other = heart.sign_in(other, previous=before.handle)

    assert again.session_id != before.session_id
    assert not again.is_reauthentication
    assert by_other.ended is None
    now = heart.session(before.session_id)
    assert (now.ended_at, now.auth_time, now.secret_hash) == (
        of_before.ended_at,
        of_before.auth_time,
        of_before.secret_hash,
    )


def test_a_stolen_identifier_without_the_secret_ends_nobodys_session(heart: Heart) -> None:
    first = heart.sign_in(heart.person())
    forged = Secret(first.session_id + "." + "A" * 22)

    heart.sign_in(heart.person(), previous=forged)

    assert heart.current(first.handle) is not None


@pytest.mark.parametrize(
    ("change", "refusal"),
    [("disabled_at", SignInRefused.ACCOUNT_CLOSED), ("deleted_at", SignInRefused.ACCOUNT_CLOSED)],
)
def test_a_closed_account_starts_no_session(heart: Heart, change: str, refusal: SignInRefused) -> None:
    person = heart.person()
    heart.change(person, **{change: heart.now})

    with heart.database.transaction() as tx:
        answer = sessions.start_browser_session(
            tx,
            user_id=person.id,
            expected_epoch=0,
            amr=["pwd"],
            acr=None,
            keep_signed_in=False,
            device=Device(),
            previous_handle=None,
            settings=heart.settings,
            now=heart.now,
        )

    assert answer is refusal
    assert heart.all(Session) == []


def test_a_disabled_persons_cookie_is_dead_at_once(heart: Heart) -> None:
    person = heart.person()
    started = heart.sign_in(person)

    heart.change(person, disabled_at=heart.now)

    assert heart.current(started.handle) is None


@pytest.mark.parametrize(("keep", "idle"), [(False, timedelta(hours=24)), (True, timedelta(days=28))])
def test_a_browser_session_idles_out_exactly_when_the_policy_says(heart: Heart, keep: bool, idle: timedelta) -> None:
    started = heart.sign_in(heart.person(), keep_signed_in=keep)
    heart.clock.advance(seconds=idle.total_seconds(), microseconds=-1)
    assert heart.current(started.handle) is not None

    heart.clock.advance(microseconds=1)

    assert heart.current(started.handle) is None


def test_activity_moves_the_idle_end_and_never_the_absolute_one(heart: Heart) -> None:
    started = heart.sign_in(heart.person(), keep_signed_in=True)
    for _ in range(4):
        heart.clock.advance(days=20)
        with heart.database.transaction() as tx:
            sessions.touch(tx, session_id=started.session_id, now=heart.now)
    assert heart.current(started.handle) is not None
    heart.clock.advance(days=10)

    assert heart.current(started.handle) is None


def test_a_page_is_told_to_touch_at_most_once_a_minute(heart: Heart) -> None:
    started = heart.sign_in(heart.person())
    heart.clock.advance(seconds=59)
    early = heart.current(started.handle)
    heart.clock.advance(seconds=1)
    due = heart.current(started.handle)

    assert early is not None
    assert not early.needs_touch
    assert due is not None
    assert due.needs_touch


def test_every_sign_in_leaves_one_audit_row(heart: Heart) -> None:
    person = heart.person()

    started = heart.sign_in(person)

    [row] = heart.all(AuditEvent, AuditEvent.kind == "sign_in")
    assert (row.user_id, row.session_id, row.ip_address) == (person.id, started.session_id, "192.0.2.7")


def test_switching_keep_me_signed_in_off_takes_it_from_those_who_have_it(heart: Heart) -> None:
    kept = heart.sign_in(heart.person(), keep_signed_in=True)
    heart.clock.advance(hours=25)
    assert heart.current(kept.handle)

    heart.with_settings(keep_signed_in=False)

    assert heart.current(kept.handle) is None
