"""The letter about ends that a person should hear of although they may not have been there."""

import pytest

from idp import sessions
from idp.db.models import EndReason, LogoutEvent, MailMessage
from idp.sessions import Actor
from tests.support.heart import Heart


@pytest.fixture
def mailing(heart: Heart) -> Heart:
    """An installation with a mail server."""
    heart.with_settings(smtp_host="mail.example", mail_from="accounts@example.com")
    return heart


def test_whoever_is_signed_out_by_an_administrator_hears_what_ended_and_why(mailing: Heart) -> None:
    ada = mailing.person()
    session = mailing.sign_in(ada)

    mailing.end(ada, session.session_id, reason=EndReason.ENDED_BY_ADMINISTRATOR)

    [letter] = mailing.all(MailMessage)
    assert letter.user_id == ada.id
    assert letter.recipient == ada.email
    assert "You were signed out of 1 browser at 09:30 UTC on 21 November 2026." in letter.body
    assert "Why: an administrator ended it." in letter.body
    assert "/account/activity" in letter.body


def test_signing_out_everywhere_is_one_letter_however_much_ended(mailing: Heart) -> None:
    ada, tool = mailing.person(), mailing.client()
    first = mailing.sign_in(ada)
    mailing.sign_in(ada)
    mailing.tokens_for(first, tool, "openid offline_access")

    mailing.end_everything(ada)

    [letter] = mailing.all(MailMessage)
    assert "2 browsers and 1 app or tool" in letter.body
    assert "“Sign out everywhere” was used" in letter.body


def test_as_many_browsers_as_apps_are_not_nothing(mailing: Heart) -> None:
    ada, tool = mailing.person(), mailing.client()
    mailing.tokens_for(mailing.sign_in(ada), tool, "openid offline_access")

    mailing.end_everything(ada)

    [letter] = mailing.all(MailMessage)
    assert "You were signed out of 1 browser and 1 app or tool" in letter.body


def test_one_application_that_lost_access_to_a_browser_that_goes_on_is_no_mail(mailing: Heart) -> None:
    ada, client = mailing.person(), mailing.client()
    session = mailing.sign_in(ada)
    mailing.tokens_for(session, client)

    with mailing.database.transaction() as tx:
        sessions.end_participation(
            tx,
            user_id=ada.id,
            session_id=session.session_id,
            client_id=client.id,
            reason=EndReason.ENDED_BY_ADMINISTRATOR,
            actor=Actor(name="operator"),
            settings=mailing.settings,
            now=mailing.now,
        )

    assert len(mailing.all(LogoutEvent)) == 1
    assert mailing.all(MailMessage) == []


@pytest.mark.parametrize("reason", [EndReason.SIGNED_OUT, EndReason.IDLE, EndReason.REFRESH_TOKEN_REUSE])
def test_what_somebody_does_themselves_or_time_does_is_no_mail(mailing: Heart, reason: EndReason) -> None:
    ada = mailing.person()

    mailing.end(ada, mailing.sign_in(ada).session_id, reason=reason)

    assert mailing.all(MailMessage) == []


def test_when_nothing_was_signed_in_there_is_no_mail(mailing: Heart) -> None:
    mailing.end_everything(mailing.person())

    assert mailing.all(MailMessage) == []
