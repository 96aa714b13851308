"""Every column that the one path writes, each from where it belongs, and what it answers; nothing beside it changes."""

from datetime import timedelta

from idp import sessions
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    DeliveryState,
    EndReason,
    LogoutDelivery,
    LogoutEvent,
    Session,
    SessionClient,
    TokenFamily,
)
from idp.db.models.clients import ClientOrigin
from idp.kit.opaque import hash_secret, split_handle
from idp.sessions import Actor, Ended
from idp.sessions.end import Targets, end_targets, lock_sessions
from tests.support.heart import Heart

OFFLINE = "openid offline_access"
OUT, FRAME = "https://app.example:8443/out", "https://app.example/frame"
MINUTE = timedelta(minutes=1)
OWN = "this very browser"


def end(heart: Heart, user_id: str, *session_ids: str, actor: Actor) -> Ended:
    with heart.database.transaction() as tx:
        return sessions.end_sessions(
            tx,
            user_id=user_id,
            session_ids=session_ids,
            reason=EndReason.SIGNED_OUT,
            actor=actor,
            settings=heart.settings,
            now=heart.now,
        )


def test_an_end_of_several_sessions_writes_all_of_itself_and_answers_the_same(heart: Heart) -> None:
    person, wiki, framed = heart.person(), heart.client(backchannel_logout_uri=OUT), heart.client()
    heart.change(framed, frontchannel_logout_uri=FRAME)
    here, there, stays = (heart.sign_in(person) for _ in range(3))
    for browser in (here, there):
        heart.tokens_for(browser, framed)
    app = heart.tokens_for(here, wiki, OFFLINE)
    kept, kept_code = heart.tokens_for(stays, wiki), heart.code(stays, wiki)
    code = heart.code(there, wiki)
    heart.clock.advance(minutes=1)
    longest = heart.tokens_for(stays, framed)
    actor = Actor("person", here.session_id, framed.id, "192.0.2.50", OWN)

    ended = end(heart, person.id, here.session_id, there.session_id, app.session_id or "", actor=actor)

    [event] = heart.all(LogoutEvent)
    assert ended == Ended(
        event_id=event.id,
        reason=EndReason.SIGNED_OUT,
        receipt=ended.receipt,
        browsers=2,
        apps=1,
        participations=3,
        deliveries=1,
        frontchannel=1,
        access_expires_at=app.access_expires_at,
    )
    handle = split_handle(ended.receipt.reveal() if ended.receipt else "")
    assert handle is not None
    assert (handle[0], hash_secret(handle[1].reveal())) == (event.id, event.receipt_hash)
    assert (event.user_id, event.reason, event.browsers_ended, event.apps_ended) == (person.id, "signed_out", 2, 1)
    assert (event.actor_session_id, event.initiating_client_id) == (here.session_id, framed.id)
    assert event.receipt_browser_hash == hash_secret(OWN)
    assert (event.occurred_at, event.receipt_expires_at) == (heart.now, heart.now + heart.settings.receipt_lifetime)
    assert event.access_expires_at == app.access_expires_at < longest.access_expires_at
    [audited] = heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert (audited.user_id, audited.client_id, audited.session_id) == (person.id, framed.id, None)
    assert (audited.actor, audited.ip_address, audited.occurred_at) == ("person", "192.0.2.50", heart.now)
    counts = {"browsers": 2, "apps": 1, "to_tell": 3}
    assert audited.details == {"reason": "signed_out", "event": event.id, **counts}
    asked = {row.session_id: row.frontchannel_uri for row in heart.all(LogoutDelivery)}
    assert asked == {here.session_id: FRAME, there.session_id: None, app.session_id: None}
    for model in (Session, SessionClient):
        gone = heart.all(model, model.ended_at.is_not(None))
        assert {(row.ended_at, row.end_reason) for row in gone} == {(heart.now, "signed_out")}
        assert len(gone) == 3
    assert {row.logout_event_id for row in heart.all(Session, Session.ended_at.is_not(None))} == {event.id}
    assert {row.id for row in heart.all(TokenFamily, TokenFamily.revoked_at.is_(None))} == {
        kept.family_id,
        longest.family_id,
    }
    expired = {row.id: row.expires_at < heart.now - MINUTE for row in heart.all(AuthorizationCode)}
    assert expired[code.reveal().partition(".")[0]]
    assert not expired[kept_code.reveal().partition(".")[0]]


def test_a_notice_is_a_snapshot_of_the_application_and_of_its_part(heart: Heart) -> None:
    person = heart.person()
    told = heart.client(name="Told", backchannel_logout_uri=OUT, wants_logout_reason=True)
    heart.change(told, origin=ClientOrigin.OPERATOR, id_token_signed_response_alg="RS256")
    mute = heart.client(name="Mute", frontchannel_logout_uri=FRAME)
    browser = heart.sign_in(person)
    issued, muted = heart.tokens_for(browser, told), heart.tokens_for(browser, mute)
    heart.clock.advance(minutes=1)

    ended = end(heart, person.id, browser.session_id, actor=Actor(session_id=browser.session_id))

    rows = {row.client_name: row for row in heart.all(LogoutDelivery)}
    for name, client, sid in (("Told", told, issued.sid), ("Mute", mute, muted.sid)):
        row = rows[name]
        assert (row.event_id, row.session_id, row.client_id) == (ended.event_id, browser.session_id, client.id)
        assert (row.audience, row.sub, row.sid) == (client.id, person.sub, sid)
        assert (row.ended_at, row.created_at, row.next_attempt_at) == (heart.now,) * 3
        assert (row.attempts, row.refusals, row.frontchannel_uri) == (0, 0, None)
    pending = rows["Told"]
    assert (pending.uri, pending.host, pending.state) == (OUT, "app.example:8443", DeliveryState.PENDING)
    assert (pending.settled_at, pending.algorithm, pending.logout_reason) == (None, "RS256", "signed_out")
    assert pending.operator_registered
    silent = rows["Mute"]
    assert (silent.uri, silent.host, silent.state) == (None, "", DeliveryState.CANNOT_BE_TOLD)
    assert (silent.settled_at, silent.algorithm, silent.logout_reason) == (heart.now, "ES256", None)
    assert (ended.deliveries, ended.frontchannel) == (1, 0)


def test_an_end_of_one_session_is_the_sessions_in_the_audit_trail_and_may_be_told_to_nobody(heart: Heart) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri=OUT)
    one, other = heart.sign_in(person), heart.sign_in(person)
    heart.tokens_for(one, client)
    bare = heart.sign_in(person)

    with heart.database.transaction() as tx:
        silently = end_targets(
            tx,
            person.id,
            Targets(lock_sessions(tx, person.id, Session.id == one.session_id)),
            reason=EndReason.SIGNED_OUT,
            actor=Actor(name="operator"),
            settings=heart.settings,
            now=heart.now,
            tell_applications=False,
        )
    heart.clock.advance(minutes=1)
    second = end(heart, person.id, bare.session_id, actor=Actor(name="operator"))

    assert (silently.participations, silently.deliveries, heart.all(LogoutDelivery)) == (1, 0, [])
    assert (second.participations, second.access_expires_at) == (0, None)
    audited = sorted(heart.all(AuditEvent, AuditEvent.kind == "sessions_ended"), key=lambda row: row.occurred_at)
    assert [(row.session_id, row.client_id, row.actor) for row in audited] == [
        (one.session_id, None, "operator"),
        (bare.session_id, None, "operator"),
    ]
    assert {event.receipt_browser_hash for event in heart.all(LogoutEvent)} == {None}
    assert heart.session(other.session_id).ended_at is None


def test_an_access_token_that_is_over_is_nothing_to_wait_for_and_one_of_a_revoked_family_is(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    first = heart.tokens_for(browser, client)
    heart.change(heart.family(first), revoked_at=heart.now, revoke_reason=EndReason.TOKEN_REVOKED)
    bound = heart.sign_in(person)
    heart.tokens_for(bound, client)

    ended = end(heart, person.id, browser.session_id, actor=Actor())
    heart.clock.advance(minutes=5)
    late = end(heart, person.id, bound.session_id, actor=Actor())

    assert (ended.access_expires_at, late.access_expires_at) == (first.access_expires_at, None)
    assert heart.family(first).revoke_reason == EndReason.TOKEN_REVOKED


def test_a_part_that_ends_names_its_client_and_only_its_own_tokens_are_counted(heart: Heart) -> None:
    person, client, other = heart.person(), heart.client(), heart.client()
    browser = heart.sign_in(person)
    issued = heart.tokens_for(browser, client)
    heart.clock.advance(minutes=1)
    beside = heart.tokens_for(browser, other)

    ended = heart.end_part(person, browser, client)

    assert (ended.browsers, ended.apps, ended.participations) == (0, 0, 1)
    assert ended.access_expires_at == issued.access_expires_at
    [audited] = heart.all(AuditEvent, AuditEvent.kind == "participation_ended")
    assert (audited.user_id, audited.client_id, audited.session_id) == (person.id, client.id, None)
    assert heart.family(issued).revoke_reason == EndReason.REFRESH_TOKEN_REUSE
    assert heart.family(beside).revoked_at is None


def test_all_but_browsers_may_be_kept_when_everything_ends_and_the_epoch_is_the_persons_alone(heart: Heart) -> None:
    person, stranger, client = heart.person(), heart.person(), heart.client()
    here, there, strange = heart.sign_in(person), heart.sign_in(person), heart.sign_in(stranger)
    app = heart.tokens_for(here, client, OFFLINE).session_id or ""

    with heart.database.transaction() as tx:
        ended = sessions.end_everything(
            tx,
            user_id=person.id,
            except_session_id=here.session_id,
            reason=EndReason.PASSWORD_CHANGED,
            actor=Actor(name="operator"),
            settings=heart.settings,
            now=heart.now,
            keep_apps=True,
        )

    assert (ended.browsers, ended.apps, ended.reason) == (1, 0, EndReason.PASSWORD_CHANGED)
    left = {row.id for row in heart.all(Session, Session.ended_at.is_(None))}
    assert left == {here.session_id, app, strange.session_id}
    epochs = {row.id: row.epoch for row in heart.all(type(person))}
    assert epochs == {person.id: 1, stranger.id: 0}
    assert heart.session(there.session_id).ended_at == heart.now
