""" "Sign in again since this moment": for everybody, for one person, for one application."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from idp import sessions
from idp.db.models import AuditEvent, Client, EndReason, LogoutDelivery, Session, SessionClient
from idp.policy import ask_for_sign_in
from idp.sessions import Actor, SessionPolicy
from idp.sessions.mass_end import MassEnd
from idp.sessions.why import why_ended
from idp.tokens import Issued, Refused
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock, Heart
from tests.support.pages import PASSWORD, Visitor

OFFLINE = "openid offline_access"


def ask(heart: Heart, client: Client | None = None, **ago: float) -> bool:
    with heart.database.transaction() as tx:
        return ask_for_sign_in(
            tx,
            since=heart.now - timedelta(**ago),
            client_id=client.id if client else None,
            actor="operator",
            now=heart.now,
        )


def finish(heart: Heart, client: Client) -> int:
    """What the command does after the moment was committed; returns how many people were concerned."""
    with heart.database.transaction() as tx:
        ended = sessions.end_older_of_client(
            tx,
            client_id=client.id,
            since=heart.now,
            after="",
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
            limit=50,
        )
    return ended.people


def test_everybody_is_asked_and_every_older_session_is_over_at_once(heart: Heart) -> None:
    client = heart.client()
    node = heart.open_database()
    browser = heart.sign_in(heart.person(), keep_signed_in=True)
    token, app = heart.tokens_for(browser, client), heart.tokens_for(browser, client, OFFLINE)
    heart.clock.advance(minutes=1)

    assert ask(heart)

    assert heart.current(browser.handle) is None
    assert isinstance(heart.refresh(token, client, database=node), Refused)
    assert isinstance(heart.refresh(app, client, database=node), Refused)
    again = heart.sign_in(heart.person())
    assert heart.current(again.handle)
    assert isinstance(heart.refresh(heart.tokens_for(again, client), client), Issued)


def test_a_sign_in_after_the_moment_is_left_alone(heart: Heart) -> None:
    old = heart.sign_in(heart.person())
    heart.clock.advance(hours=2)
    young = heart.sign_in(heart.person())
    heart.clock.advance(minutes=1)

    assert ask(heart, hours=1)

    assert heart.current(old.handle) is None
    assert heart.current(young.handle)


def test_the_same_browser_gets_a_new_session_and_the_old_one_stays_over(heart: Heart) -> None:
    person = heart.person()
    old = heart.sign_in(person)
    heart.clock.advance(minutes=1)
    ask(heart)

    new = heart.sign_in(person, previous=old.handle)

    assert not new.is_reauthentication
    assert new.session_id != old.session_id
    assert heart.current(old.handle) is None


def test_the_sweep_writes_the_ends_down_and_the_person_reads_why(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri="https://app.example/logout")
    browser = heart.sign_in(heart.person(), keep_signed_in=True)
    heart.tokens_for(browser, client)
    heart.clock.advance(minutes=1)
    ask(heart)
    with heart.database.reading() as tx:
        policy = SessionPolicy.today(tx, heart.settings)
        why = why_ended(tx, handle=browser.handle.reveal(), now=heart.now, policy=policy)
    assert why is not None
    assert why.reason == EndReason.SIGN_IN_AGAIN

    with heart.database.transaction() as tx:
        sessions.tighten_hints(tx, settings=heart.settings)
    heart.sweep()

    assert heart.session(browser.session_id).end_reason == EndReason.SIGN_IN_AGAIN
    assert len(heart.all(LogoutDelivery)) == 1


def test_what_idled_out_before_the_moment_keeps_its_own_reason(heart: Heart) -> None:
    browser = heart.sign_in(heart.person())
    heart.clock.advance(hours=30)
    ask(heart)

    heart.sweep()

    assert heart.session(browser.session_id).end_reason == EndReason.IDLE


def test_the_moment_only_ever_moves_forward(heart: Heart) -> None:
    browser = heart.sign_in(heart.person())
    heart.clock.advance(hours=1)
    assert ask(heart)

    assert not ask(heart, hours=3)

    assert heart.current(browser.handle) is None
    assert len(heart.all(AuditEvent, AuditEvent.kind == "sign_in_again")) == 1


def test_one_person_is_asked_and_nobody_else(heart: Heart) -> None:
    person, other = heart.person(), heart.person()
    old, others = heart.sign_in(person), heart.sign_in(other)
    heart.clock.advance(hours=2)
    young = heart.sign_in(person)

    with heart.database.transaction() as tx:
        ended = sessions.end_older_of_user(
            tx,
            user_id=person.id,
            since=heart.now - timedelta(hours=1),
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )

    assert ended.browsers == 1
    assert heart.session(old.session_id).end_reason == EndReason.SIGN_IN_AGAIN
    assert heart.current(young.handle)
    assert heart.current(others.handle)


@pytest.mark.parametrize("scope", ["openid", OFFLINE])
def test_one_application_takes_no_older_sign_in_at_once_and_others_do(heart: Heart, scope: str) -> None:
    strict, other = heart.client(backchannel_logout_uri="https://app.example/logout"), heart.client()
    browser = heart.sign_in(heart.person())
    of_strict, of_other = heart.tokens_for(browser, strict, scope), heart.tokens_for(browser, other, scope)
    code = heart.code(browser, strict, scope)
    heart.clock.advance(seconds=11)

    assert ask(heart, strict)

    assert isinstance(heart.refresh(of_strict, strict), Refused)
    [strict] = heart.all(Client, Client.id == strict.id)
    assert isinstance(heart.redeem(code, strict), Refused)
    kept = heart.refresh(of_other, other)
    assert isinstance(kept, Issued)
    assert heart.current(browser.handle)
    assert finish(heart, strict) == 1
    assert finish(heart, strict) == 0
    assert len(heart.all(LogoutDelivery)) == 1
    [part] = heart.all(SessionClient, SessionClient.client_id == strict.id)
    assert part.end_reason == EndReason.SIGN_IN_AGAIN
    assert isinstance(heart.refresh(kept, other), Issued)
    assert heart.session(browser.session_id).ended_at is None


def test_a_clients_part_that_rests_on_a_newer_sign_in_goes_on(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    first = heart.sign_in(person)
    heart.clock.advance(minutes=5)
    ask(heart, client)
    heart.clock.advance(minutes=5)
    again = heart.sign_in(person, previous=first.handle)
    assert again.is_reauthentication
    [client] = heart.all(Client, Client.id == client.id)
    token = heart.tokens_for(again, client)

    assert isinstance(heart.refresh(token, client), Issued)
    with heart.database.transaction() as tx:
        ended = sessions.end_older_of_client(
            tx,
            client_id=client.id,
            since=heart.now - timedelta(minutes=5),
            after="",
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
            limit=50,
        )
    assert ended == MassEnd()


def test_the_application_sends_people_to_the_sign_in_page_once_and_then_on(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    tokens = rp.sign_in(signed_in)
    clock.advance(minutes=1)
    ask(provider.heart, rp.client)
    clock.advance(minutes=1)

    silent = signed_in.get(rp.address(prompt="none"))
    asked = signed_in.get(rp.address())

    assert "error=login_required" in silent.location
    assert "/login" in asked.location
    assert rp.introspect(tokens.access_token) == {"active": False}
    assert rp.userinfo(tokens).status_code == 401
    form = signed_in.page(asked.location).forms[0]
    done = signed_in.submit(form, button="login-submit", username="ada", password=PASSWORD)
    assert "code=" in signed_in.get(done.location).location


def test_who_signed_in_for_the_request_before_the_moment_is_asked_and_not_sent_in_circles(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    asked = signed_in.get(rp.address(prompt="login"))
    clock.advance(minutes=1)
    form = signed_in.page(asked.location).forms[0]
    done = signed_in.submit(form, button="login-submit", username="ada", password=PASSWORD)
    clock.advance(minutes=1)
    ask(provider.heart, rp.client)
    clock.advance(minutes=1)

    back = signed_in.get(done.location)

    assert "/login" in back.location
    assert signed_in.get(back.location).status_code == 200  # the form, and not a redirect back


def test_a_clock_that_stepped_back_does_not_bring_a_session_back(heart: Heart) -> None:
    browser = heart.sign_in(heart.person())
    heart.clock.advance(minutes=1)
    ask(heart)

    heart.clock.advance(minutes=-5)

    assert heart.current(browser.handle) is None
    with heart.database.transaction() as tx:  # the rule asks auth_time alone
        tx.execute(update(Session).where(Session.id == browser.session_id).values(auth_time=heart.now))
    assert heart.current(browser.handle) is None
