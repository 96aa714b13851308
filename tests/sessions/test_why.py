"""Why a session is over, and for how long it had lain unused: told to the browser that held it and to nobody else."""

from datetime import timedelta

import pytest

from idp.db.models import EndReason
from idp.kit.opaque import Secret
from idp.sessions.why import WhyEnded, why_ended
from tests.support.heart import Heart


def why(heart: Heart, handle: Secret | str) -> WhyEnded | None:
    with heart.database.reading() as tx:
        text = handle.reveal() if isinstance(handle, Secret) else handle
        return why_ended(tx, handle=text, now=heart.now, policy=heart.policy)


def test_an_idle_session_says_how_long_it_lay_unused_before_the_sweep_and_after_it(heart: Heart) -> None:
    session = heart.sign_in(heart.person())
    heart.clock.advance(hours=24, seconds=20)

    before = why(heart, session.handle)
    heart.sweep()
    after = why(heart, session.handle)

    assert before == WhyEnded(EndReason.IDLE, timedelta(hours=24))
    assert after == WhyEnded(EndReason.IDLE, timedelta(hours=24, seconds=20))


def test_a_session_at_its_absolute_end_says_how_long_it_lived(heart: Heart) -> None:
    heart.with_settings(browser_absolute_lifetime=timedelta(hours=20), browser_idle_lifetime=timedelta(hours=20))
    session = heart.sign_in(heart.person())
    heart.clock.advance(hours=20)

    assert why(heart, session.handle) == WhyEnded(EndReason.EXPIRED, timedelta(hours=20))


def test_a_refresh_counts_as_use_in_what_is_told_later(heart: Heart) -> None:
    heart.with_settings(browser_idle_lifetime=timedelta(minutes=30))
    person, client = heart.person(), heart.client()
    session = heart.sign_in(person)
    tokens = heart.tokens_for(session, client)
    heart.clock.advance(minutes=25)
    heart.refresh(tokens, client)
    heart.clock.advance(minutes=31)
    heart.sweep()

    assert why(heart, session.handle) == WhyEnded(EndReason.IDLE, timedelta(minutes=31))


@pytest.mark.parametrize("reason", [EndReason.ENDED_BY_ADMINISTRATOR, EndReason.PASSWORD_CHANGED])
def test_other_reasons_are_told_without_a_length(heart: Heart, reason: EndReason) -> None:
    person = heart.person()
    session = heart.sign_in(person)
    heart.end(person, session.session_id, reason=reason)

    assert why(heart, session.handle) == WhyEnded(reason)


def test_a_live_session_a_wrong_secret_and_garbage_are_told_nothing(heart: Heart) -> None:
    person = heart.person()
    live, over = heart.sign_in(person), heart.sign_in(person)
    heart.end(person, over.session_id)

    assert why(heart, live.handle) is None
    assert why(heart, over.handle.reveal()[:-22] + "A" * 22) is None
    assert why(heart, "garbage") is None


def test_a_closed_and_a_deleted_account_are_told_apart(heart: Heart) -> None:
    person = heart.person()
    session = heart.sign_in(person)
    heart.change(person, disabled_at=heart.now)
    closed = why(heart, session.handle)
    heart.change(person, deleted_at=heart.now)

    assert closed == WhyEnded(EndReason.USER_DISABLED)
    assert why(heart, session.handle) == WhyEnded(EndReason.USER_DELETED)


def test_the_cookie_before_the_last_renewal_is_told_too_and_no_other_one(heart: Heart) -> None:
    person = heart.person()
    session, other = heart.sign_in(person), heart.sign_in(person)
    heart.sign_in(person, previous=session.handle)
    heart.sign_in(person, previous=other.handle)
    heart.end(person, session.session_id)

    assert why(heart, session.handle) == WhyEnded(EndReason.SIGNED_OUT)
    assert why(heart, other.handle) is None
    assert why(heart, f"{other.session_id}.{session.handle.reveal().partition('.')[2]}") is None
    for secret in (other.handle.reveal().partition(".")[2], "A" * 22):
        assert why(heart, f"{session.session_id}.{secret}") is None
