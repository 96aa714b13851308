"""Purging history: what is old goes with all that hangs on it, what is alive, under way or still shown stays."""

from datetime import timedelta

from sqlalchemy import select, text

from idp import mail
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    LogoutDelivery,
    LogoutEvent,
    MailMessage,
    Session,
    SessionClient,
    SigningKey,
    TokenFamily,
    User,
)
from idp.keys import ensure_keys, rotate
from idp.tokens import Issued, Refused
from tests.retention.purging import count, due, purge, settle_notices
from tests.support.heart import Heart


def test_an_ended_session_goes_after_the_history_with_all_that_hangs_on_it_and_live_ones_stay(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365))
    client = heart.client(backchannel_logout_uri="https://app.example/bye")
    person, other = heart.person(), heart.person()
    ended = heart.sign_in(person)
    heart.tokens_for(ended, client)
    heart.code(ended, client)
    app = heart.tokens_for(ended, client, "openid offline_access")
    others_app = heart.tokens_for(heart.sign_in(other), client, "openid offline_access")
    heart.end(person, ended.session_id)
    settle_notices(heart)

    heart.clock.advance(days=90)
    assert purge(heart)["sessions"] == 0
    assert len(heart.all(Session, Session.id == ended.session_id)) == 1

    heart.clock.advance(seconds=1)
    expected = due(heart)
    gone = purge(heart)

    assert (gone["participations"], gone["sessions"], gone["logout_events"]) == (1, 1, 1)
    assert expected["participations"] == 1
    assert expected["sessions"] == 1
    assert heart.all(Session, Session.id == ended.session_id) == []
    assert count(heart, LogoutEvent, LogoutDelivery) == [0, 0]
    # The app that it had approved lives on, and only forgets where.
    assert {row.parent_id for row in heart.all(Session, Session.user_id == person.id)} == {None}
    assert isinstance(heart.refresh(app, client), Issued)
    assert isinstance(heart.refresh(others_app, client), Issued)
    assert len(heart.all(User)) == 2


def test_reuse_is_found_out_however_old_the_family_is_while_its_session_lives(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365))
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, "openid offline_access")
    second = heart.refresh(first, client)
    assert isinstance(second, Issued)

    heart.clock.advance(days=200)
    purge(heart)
    third = heart.refresh(second, client)
    assert isinstance(third, Issued)
    heart.clock.advance(days=2)
    assert isinstance(heart.refresh(first, client), Refused)

    assert isinstance(heart.refresh(third, client), Refused)
    assert heart.family(first).revoke_reason == "refresh_token_reuse"


def test_a_notice_on_its_way_keeps_its_session_and_its_event(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri="https://app.example/bye")
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    heart.clock.advance(days=100)

    gone = purge(heart)
    assert (gone["sessions"], gone["logout_events"]) == (0, 0)
    assert count(heart, LogoutDelivery) == [1]

    settle_notices(heart)
    gone = purge(heart)
    assert (gone["sessions"], gone["logout_events"]) == (1, 1)


def test_an_application_that_left_a_living_session_is_forgotten_too(heart: Heart) -> None:
    heart.with_settings(browser_absolute_lifetime=timedelta(days=400), browser_idle_lifetime=timedelta(days=400))
    gone_client, kept_client = heart.client(), heart.client()
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, gone_client)
    kept = heart.tokens_for(session, kept_client)
    heart.withdraw(person, gone_client)

    heart.clock.advance(days=91)
    gone = purge(heart)

    assert (gone["participations"], gone["sessions"], gone["logout_events"]) == (1, 0, 1)
    assert [row.client_id for row in heart.all(SessionClient)] == [kept_client.id]
    assert [row.id for row in heart.all(TokenFamily)] == [kept.family_id]
    assert heart.current(session.handle) is not None


def test_a_revoked_family_goes_after_the_history_though_its_participation_lives(heart: Heart) -> None:
    client = heart.client()
    session = heart.sign_in(heart.person())
    revoked, live = (heart.tokens_for(session, client) for _ in range(2))
    heart.change(heart.family(revoked), revoked_at=heart.now, revoke_reason="revoked")
    participations = count(heart, SessionClient)

    heart.clock.advance(days=90)
    assert "revoked_families" not in {name for name, rows in purge(heart).items() if rows}
    heart.clock.advance(seconds=1)
    gone = purge(heart)

    assert gone["revoked_families"] == 1
    assert [family.id for family in heart.all(TokenFamily)] == [live.family_id]
    assert count(heart, SessionClient) == participations
    assert [code.family_id for code in heart.all(AuthorizationCode)] in ([], [live.family_id])


def test_a_notice_on_its_way_from_a_living_session_keeps_its_event(heart: Heart) -> None:
    heart.with_settings(browser_absolute_lifetime=timedelta(days=400), browser_idle_lifetime=timedelta(days=400))
    client, person = heart.client(backchannel_logout_uri="https://app.example/bye"), heart.person()
    heart.tokens_for(heart.sign_in(person), client)
    heart.withdraw(person, client)
    heart.clock.advance(days=91)

    assert purge(heart)["logout_events"] == 0
    settle_notices(heart)
    assert purge(heart)["logout_events"] == 1


def test_while_somebody_holds_an_app_its_parent_is_passed_over_without_waiting(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365))
    client, person = heart.client(), heart.person()
    parent = heart.sign_in(person)
    app = heart.tokens_for(parent, client, "openid offline_access")
    heart.end(person, parent.session_id)
    heart.clock.advance(days=91)
    other_node = heart.open_database()
    # SQLite has no row locks, and one writer at a time: there, nobody can hold a row while the purge writes.
    holding = heart.database.reading if heart.database.is_sqlite else heart.database.transaction

    with holding() as tx:
        tx.execute(select(Session.id).where(Session.id == app.session_id).with_for_update(key_share=True)).one()
        meanwhile = purge(heart, database=other_node)
    afterwards = purge(heart)

    expected = (1, 1) if heart.database.is_sqlite else (0, 0)
    assert (meanwhile["sessions"], meanwhile["logout_events"]) == expected
    assert meanwhile["sessions"] + afterwards["sessions"] == 1
    assert meanwhile["logout_events"] + afterwards["logout_events"] == 1
    assert isinstance(heart.refresh(app, client), Issued)


def test_a_receipt_that_still_opens_keeps_its_event(heart: Heart) -> None:
    heart.with_settings(receipt_lifetime=timedelta(days=365))
    person = heart.person()
    heart.end(person, heart.sign_in(person).session_id)
    heart.clock.advance(days=100)

    assert purge(heart)["logout_events"] == 0
    heart.clock.advance(days=300)
    assert purge(heart)["logout_events"] == 1


def test_mail_and_audit_rows_go_after_their_own_time_and_the_trail_says_so(heart: Heart) -> None:
    heart.with_settings(smtp_host="mail.example", mail_from="idp@example.com")
    person = heart.person()
    letter = mail.old_token_used(client_name="Wiki", is_app=True, now=heart.now, settings=heart.settings)
    with heart.database.transaction() as tx:
        mail.enqueue_mail(tx, user_id=person.id, letter=letter, settings=heart.settings, now=heart.now)
    heart.clock.advance(days=91)
    assert purge(heart)["mail_messages"] == 0, "it was never sent, and waits"
    with heart.database.transaction() as tx:
        tx.execute(text("UPDATE mail_messages SET state = 'sent', settled_at = 1"))
    assert purge(heart)["mail_messages"] == 1
    assert count(heart, MailMessage) == [0]

    heart.clock.advance(days=400)
    gone = purge(heart)["audit_events"]

    assert gone >= 1
    assert [(row.kind, row.details) for row in heart.all(AuditEvent)] == [("audit_purged", {"rows": gone})]


def test_keys_that_can_verify_no_hint_any_more_go(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        ensure_keys(tx, keyring=heart.keyring, now=heart.now)
        rotate(tx, algorithm="ES256", keyring=heart.keyring, now=heart.now, settings=heart.settings, immediately=True)
    heart.clock.advance(days=364)
    assert purge(heart)["signing_keys"] == 0

    heart.clock.advance(days=3)

    assert due(heart)["signing_keys"] == 1
    assert purge(heart)["signing_keys"] == 1
    assert count(heart, SigningKey) == [2]
