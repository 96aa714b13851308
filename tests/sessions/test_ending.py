"""The one path by which sessions end: what ends, what stays, who is told, and that it is final."""

from datetime import timedelta

import pytest

from idp import sessions
from idp.db.models import (
    AuditEvent,
    DeliveryState,
    EndReason,
    LogoutDelivery,
    LogoutEvent,
    Session,
    SessionClient,
    TokenFamily,
    User,
)
from idp.sessions import Actor
from idp.tokens import Issued, Refused
from tests.support.heart import Heart

OFFLINE = "openid offline_access"
NOTICES = "https://app.example/backchannel"


def test_an_end_is_one_commit_with_everything_that_hangs_on_it(heart: Heart) -> None:
    person = heart.person()
    browser = heart.sign_in(person)
    told, mute = heart.client(backchannel_logout_uri=NOTICES, name="Told"), heart.client(name="Mute")
    issued = heart.tokens_for(browser, told)
    heart.tokens_for(browser, mute)
    pending_code = heart.code(browser, told)
    heart.clock.advance(seconds=30)

    ended = heart.end(person, browser.session_id)

    assert (ended.browsers, ended.apps, ended.participations) == (1, 0, 2)
    assert ended.access_expires_at == issued.access_expires_at
    row = heart.session(browser.session_id)
    assert (row.ended_at, row.end_reason, row.logout_event_id) == (heart.now, EndReason.SIGNED_OUT, ended.event_id)
    assert all(family.revoked_at == heart.now for family in heart.all(TokenFamily))
    assert all(participation.ended_at == heart.now for participation in heart.all(SessionClient))
    states = {delivery.client_name: delivery.state for delivery in heart.all(LogoutDelivery)}
    assert states == {"Told": DeliveryState.PENDING, "Mute": DeliveryState.CANNOT_BE_TOLD}
    [delivery] = heart.all(LogoutDelivery, LogoutDelivery.client_name == "Told")
    assert (delivery.uri, delivery.audience, delivery.sid, delivery.sub) == (NOTICES, told.id, issued.sid, person.sub)
    assert delivery.ended_at == heart.now
    assert isinstance(heart.redeem(pending_code, told), Refused)
    assert len(heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")) == 1


def test_an_end_is_final_and_a_second_one_changes_nothing(heart: Heart) -> None:
    """I1."""
    person = heart.person()
    browser = heart.sign_in(person)
    heart.end(person, browser.session_id)
    before = heart.session(browser.session_id)
    heart.clock.advance(hours=1)

    again = heart.end(person, browser.session_id, reason=EndReason.ENDED_BY_PERSON)

    assert again.event_id is None
    after = heart.session(browser.session_id)
    assert (after.ended_at, after.end_reason) == (before.ended_at, before.end_reason)
    assert len(heart.all(LogoutEvent)) == 1


def test_nobody_ends_another_persons_session(heart: Heart) -> None:
    """I13."""
    owner, stranger = heart.person(), heart.person()
    browser = heart.sign_in(owner)

    ended = heart.end(stranger, browser.session_id)

    assert ended.event_id is None
    assert heart.current(browser.handle) is not None


def test_apps_survive_the_sign_out_of_the_browser_that_approved_them(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    app, bound = heart.tokens_for(browser, client, OFFLINE), heart.tokens_for(browser, client)

    heart.end(person, browser.session_id)

    assert isinstance(heart.refresh(app, client), Issued)
    assert isinstance(heart.refresh(bound, client), Refused)


def test_everywhere_ends_browsers_and_tools_and_raises_the_epoch(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    other_person = heart.person()
    bystander = heart.sign_in(other_person)
    browser = heart.sign_in(person)
    app = heart.tokens_for(browser, client, OFFLINE)
    half_way = heart.code(browser, client)

    ended = heart.end_everything(person)

    assert (ended.browsers, ended.apps) == (1, 1)
    assert isinstance(heart.refresh(app, client), Refused)
    assert isinstance(heart.redeem(half_way, client), Refused)
    assert heart.current(browser.handle) is None
    assert heart.all(User, User.id == person.id)[0].epoch == 1
    assert heart.current(bystander.handle) is not None


def test_everywhere_else_keeps_this_browser_alone(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    here, there = heart.sign_in(person), heart.sign_in(person)
    app = heart.tokens_for(here, client, OFFLINE)

    heart.end_everything(person, keep=here.session_id)
    with heart.database.transaction() as tx:
        renewed = sessions.renew_secret(tx, session_id=here.session_id, now=heart.now, keep_previous=False)

    assert heart.current(here.handle) is None, "a copied cookie must not survive either"
    assert heart.current(renewed) is not None
    assert heart.current(there.handle) is None
    assert isinstance(heart.refresh(app, client), Refused)


def test_withdrawing_a_consent_ends_that_client_everywhere_and_no_other(heart: Heart) -> None:
    person = heart.person()
    browser = heart.sign_in(person)
    client, other = heart.client(backchannel_logout_uri=NOTICES), heart.client()
    bound, app = heart.tokens_for(browser, client), heart.tokens_for(browser, client, OFFLINE)
    unredeemed, others = heart.code(browser, client), heart.tokens_for(browser, other)

    ended = heart.withdraw(person, client)

    assert (ended.browsers, ended.apps, ended.participations) == (0, 1, 2)
    assert isinstance(heart.refresh(bound, client), Refused)
    assert isinstance(heart.refresh(app, client), Refused)
    assert isinstance(heart.redeem(unredeemed, client), Refused)
    assert heart.current(browser.handle) is not None
    assert isinstance(heart.refresh(others, other), Issued)


def test_coming_back_makes_a_new_participation_with_a_new_sid(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    first = heart.tokens_for(browser, client)
    assert heart.tokens_for(browser, client).sid == first.sid, "while it lives it is one and the same"
    heart.withdraw(person, client)

    back = heart.tokens_for(browser, client)

    assert back.sid != first.sid
    assert isinstance(heart.refresh(first, client), Refused)
    assert isinstance(heart.refresh(back, client), Issued)


@pytest.mark.spec("Back-Channel Logout", "2.3")
def test_a_participation_outlives_its_tokens(heart: Heart) -> None:
    """Lesson 5: /revoke before logout must not suppress the notice. Lesson 2: expired tokens do not either."""
    from idp import tokens

    person, client = heart.person(), heart.client(backchannel_logout_uri=NOTICES)
    browser = heart.sign_in(person)
    issued = heart.tokens_for(browser, client)
    assert issued.refresh_token is not None
    with heart.database.transaction() as tx:
        assert tokens.revoke_refresh_token(
            tx,
            token=issued.refresh_token.reveal(),
            client_id=client.id,
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )
    assert heart.all(LogoutDelivery) == []
    heart.clock.advance(hours=3)

    heart.end(person, browser.session_id)

    [delivery] = heart.all(LogoutDelivery)
    assert (delivery.sid, delivery.state) == (issued.sid, DeliveryState.PENDING)


def test_revoking_a_tools_token_ends_its_app_session_and_leaves_other_tools_alone(heart: Heart) -> None:
    """Lesson 16: exactly what is named."""
    from idp import tokens

    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    one, two = heart.tokens_for(browser, client, OFFLINE), heart.tokens_for(browser, client, OFFLINE)
    assert one.refresh_token is not None
    assert one.session_id is not None

    with heart.database.transaction() as tx:
        tokens.revoke_refresh_token(
            tx,
            token=one.refresh_token.reveal(),
            client_id=client.id,
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )

    assert heart.session(one.session_id).end_reason == EndReason.TOKEN_REVOKED
    assert isinstance(heart.refresh(one, client), Refused)
    assert isinstance(heart.refresh(two, client), Issued)


def test_another_client_revokes_nothing(heart: Heart) -> None:
    from idp import tokens

    client, other = heart.client(), heart.client()
    issued = heart.tokens_for(heart.sign_in(heart.person()), client)
    assert issued.refresh_token is not None

    with heart.database.transaction() as tx:
        done = tokens.revoke_refresh_token(
            tx,
            token=issued.refresh_token.reveal(),
            client_id=other.id,
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )

    assert not done
    assert isinstance(heart.refresh(issued, client), Issued)


def test_removing_a_client_ends_it_for_everybody_in_batches(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri=NOTICES)
    people = [heart.person() for _ in range(3)]
    for person in people:
        heart.tokens_for(heart.sign_in(person), client, OFFLINE)
    heart.change(client, disabled_at=heart.now)

    rounds = []
    while not rounds or rounds[-1]:
        with heart.database.transaction() as tx:
            rounds.append(
                sessions.end_client_everywhere(
                    tx,
                    client_id=client.id,
                    reason=EndReason.CLIENT_DISABLED,
                    actor=Actor(name="administrator"),
                    settings=heart.settings,
                    now=heart.now,
                    limit=2,
                )
            )

    assert rounds == [2, 1, 0]
    assert heart.all(SessionClient, SessionClient.ended_at.is_(None)) == []
    assert len(heart.all(LogoutDelivery)) == 3


# ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sweep_ends_what_expired_with_its_reason_and_tells_the_applications(heart: Heart) -> None:
    """Lesson 3: an expiry is an end like any other."""
    person, client = heart.person(), heart.client(backchannel_logout_uri=NOTICES)
    idle, kept = heart.sign_in(person), heart.sign_in(person, keep_signed_in=True)
    heart.tokens_for(idle, client)
    heart.clock.advance(hours=24)

    assert heart.sweep() == 1

    assert heart.session(idle.session_id).end_reason == EndReason.IDLE
    assert heart.session(kept.session_id).ended_at is None
    assert [delivery.state for delivery in heart.all(LogoutDelivery)] == [DeliveryState.PENDING]
    assert heart.sweep() == 0


def test_the_sweep_ends_a_busy_session_at_its_absolute_end(heart: Heart) -> None:
    started = heart.sign_in(heart.person(), keep_signed_in=True)
    for _ in range(5):
        heart.clock.advance(days=18)
        with heart.database.transaction() as tx:
            sessions.touch(tx, session_id=started.session_id, now=heart.now)
        heart.sweep()

    assert heart.session(started.session_id).end_reason == EndReason.EXPIRED


def test_the_sweep_lets_a_session_in_use_live_and_looks_again_later(heart: Heart) -> None:
    started = heart.sign_in(heart.person())
    heart.clock.advance(hours=23)
    with heart.database.transaction() as tx:
        sessions.touch(tx, session_id=started.session_id, now=heart.now)
    heart.clock.advance(hours=1)

    assert heart.sweep() == 1

    row: Session = heart.session(started.session_id)
    assert row.ended_at is None
    assert row.sweep_at == heart.now + timedelta(hours=23)


def test_a_policy_made_shorter_ends_old_sessions_visibly_too(heart: Heart) -> None:
    started = heart.sign_in(heart.person(), keep_signed_in=True)
    heart.clock.advance(days=3)
    heart.with_settings(keep_signed_in_idle_lifetime=timedelta(days=2))
    assert heart.sweep() == 0, "the hint still says 28 days"

    with heart.database.transaction() as tx:
        sessions.tighten_hints(tx, settings=heart.settings)
    heart.sweep()

    assert heart.session(started.session_id).end_reason == EndReason.IDLE


# ── The receipt ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_receipt_names_applications_only_in_the_browser_that_signed_out_and_only_for_a_day(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Wiki", backchannel_logout_uri=NOTICES)
    browser = heart.sign_in(person)
    issued = heart.tokens_for(browser, client)
    with heart.database.transaction() as tx:
        ended = sessions.end_sessions(
            tx,
            user_id=person.id,
            session_ids=[browser.session_id],
            reason=EndReason.SIGNED_OUT,
            actor=Actor(browser_binding="this very browser"),
            settings=heart.settings,
            now=heart.now,
        )
    assert ended.receipt is not None
    handle = ended.receipt.reveal()

    def look(binding: str | None, handle: str = handle) -> sessions.Receipt | None:
        with heart.database.reading() as tx:
            return sessions.find_receipt(tx, handle=handle, browser_binding=binding, now=heart.now)

    own, other = look("this very browser"), look("another")
    assert own is not None
    assert other is not None
    assert [application.name for application in own.applications] == ["Wiki"]
    assert [application.name for application in other.applications] == [None]
    assert own.access_expires_at == issued.access_expires_at
    assert own.pending == 1
    assert look(None) is not None
    assert look("this very browser", handle[:-1] + ("A" if handle[-1] != "A" else "B")) is None
    heart.clock.advance(hours=24)
    assert look("this very browser") is None
