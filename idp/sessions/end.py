"""The one path by which sessions, and clients' participations in them, end.

Whatever the cause, here and nowhere else: the session, its participations, the mark on every token family, unredeemed
codes, one durable notice per application, the receipt and the audit row, all in the caller's one transaction. There is
no way back (I1), and nothing leaves the server before the commit (I16).

Locks, always in this order: user (only when everything ends) → sessions by id → families → outbox, audit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, insert, select, update

from idp import audit, outbox
from idp.db.engine import Tx
from idp.db.models import (
    AuthorizationCode,
    EndReason,
    LogoutEvent,
    Session,
    SessionClient,
    SessionKind,
    TokenFamily,
    User,
)
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import Secret, hash_secret, make_handle, new_secret
from idp.sessions.end_mail import tell_person
from idp.settings import Settings

STATEMENT_CHUNK = 1000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Actor:
    """Who ended it: for the audit trail, and so that the receipt shows names only where it was done."""

    name: str = "person"
    session_id: str | None = None
    client_id: str | None = None
    ip_address: str = ""
    browser_binding: str | None = None


@dataclass(frozen=True)
class Ended:
    """What an end did. `receipt` opens /signed-out/<receipt>; None when there was nothing left to end."""

    event_id: str | None = None
    reason: EndReason | None = None
    receipt: Secret | None = None
    browsers: int = 0
    apps: int = 0
    participations: int = 0
    deliveries: int = 0
    # Applications that the acting browser can be asked to tell (Front-Channel Logout): show it the receipt.
    frontchannel: int = 0
    access_expires_at: datetime | None = None


class Locked(NamedTuple):
    """What an end needs to know of a session whose row it has locked."""

    id: str
    kind: SessionKind
    client_id: str | None


@dataclass(frozen=True)
class Targets:
    """What shall end: sessions as a whole, and single participations in sessions that go on."""

    sessions: Sequence["Locked"] = ()
    participation_ids: Sequence[str] = ()


def end_sessions(
    tx: Tx,
    *,
    user_id: str,
    session_ids: Sequence[str],
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
    tell_applications: bool = True,
) -> Ended:
    """End these sessions of this person. Others' sessions, unknown ids and ended sessions are left alone (I13)."""
    return end_matching(
        tx,
        user_id=user_id,
        which=Session.id.in_(session_ids),
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
        tell_applications=tell_applications,
    )


def end_matching(
    tx: Tx,
    *,
    user_id: str,
    which: ColumnElement[bool],
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
    tell_applications: bool = True,
) -> Ended:
    """End those sessions of this person that a condition on `Session` names when their rows are locked."""
    return end_targets(
        tx,
        user_id,
        Targets(lock_sessions(tx, user_id, which)),
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
        tell_applications=tell_applications,
    )


def end_everything(
    tx: Tx,
    *,
    user_id: str,
    except_session_id: str | None,
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
    keep_apps: bool = False,
) -> Ended:
    """End every session of a person, of both kinds, and everything half-way; `except_session_id` alone goes on.

    With `keep_apps` the sessions of apps and tools go on too: only browsers end.

    Raises the person's epoch under the user lock: codes, half-done sign-ins and approvals that began before are refused
    from this commit on, and no new session can start in between (design §2.7). The caller renews the secret of the
    session that goes on (`renew_secret(keep_previous=False)`).
    """
    # The UPDATE is the user lock, and comes before any session lock.
    tx.execute(update(User).where(User.id == user_id).values(epoch=User.epoch + 1))
    # The one that goes on is locked in its turn too: its secret is renewed next, when it is too late for the order.
    locked = lock_sessions(tx, user_id, Session.user_id == user_id)
    return end_targets(
        tx,
        user_id,
        Targets(
            [
                session
                for session in locked
                if session.id != except_session_id and not (keep_apps and session.kind is SessionKind.APP)
            ]
        ),
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
    )


def lock_sessions(tx: Tx, user_id: str, which: ColumnElement[bool]) -> list[Locked]:
    """Lock this person's sessions that have not ended and match; for the verbs that end them, and nobody else."""
    # By id: two ends that overlap lock in the same order and cannot deadlock (design §9).
    rows = tx.execute(
        select(Session.id, Session.kind, Session.client_id)
        .where(Session.user_id == user_id, Session.ended_at.is_(None), which)
        .order_by(Session.id)
        .with_for_update(key_share=True)
    )
    return [Locked(*row) for row in rows]


def end_targets(
    tx: Tx,
    user_id: str,
    targets: Targets,
    *,
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
    tell_applications: bool = True,
) -> Ended:
    """The one path itself. The targets' sessions are locked, live and of this user."""
    if not targets.sessions and not targets.participation_ids:
        return Ended()
    event_id = new_identifier(shard_key_in(user_id), now)
    browsers = sum(session.kind is SessionKind.BROWSER for session in targets.sessions)
    apps = len(targets.sessions) - browsers
    receipt = new_secret(128)
    tx.execute(
        insert(LogoutEvent).values(
            id=event_id,
            user_id=user_id,
            reason=reason,
            actor_session_id=actor.session_id,
            initiating_client_id=actor.client_id,
            browsers_ended=browsers,
            apps_ended=apps,
            receipt_hash=hash_secret(receipt.reveal()),
            receipt_browser_hash=hash_secret(actor.browser_binding) if actor.browser_binding else None,
            receipt_expires_at=now + settings.receipt_lifetime,
            occurred_at=now,
        )
    )
    for start in range(0, len(targets.sessions), STATEMENT_CHUNK):
        chunk = targets.sessions[start : start + STATEMENT_CHUNK]
        tx.execute(
            update(Session)
            .where(Session.id.in_([session.id for session in chunk]))
            .values(ended_at=now, end_reason=reason, logout_event_id=event_id)
            .execution_options(synchronize_session=False)
        )
    # From here on the event itself names the sessions: statements stay short however many there are.
    of_event = select(Session.id).where(Session.logout_event_id == event_id)
    # Two conditions, never joined by OR: PostgreSQL would read the whole tables instead of two indexes.
    whole, parts = bool(targets.sessions), bool(targets.participation_ids)
    of_families: list[ColumnElement[bool]] = [
        *([TokenFamily.session_id.in_(of_event)] if whole else []),
        *([TokenFamily.session_client_id.in_(targets.participation_ids)] if parts else []),
    ]
    of_participations: list[ColumnElement[bool]] = [
        *([SessionClient.session_id.in_(of_event)] if whole else []),
        *([SessionClient.id.in_(targets.participation_ids)] if parts else []),
    ]
    ended = _end_participations(tx, user_id, of_participations, reason=reason, now=now)
    access_expires_at = _mark_families(tx, of_families, reason=reason, now=now)
    if whole:
        expire_codes(tx, AuthorizationCode.session_id.in_(of_event))
    if access_expires_at is not None:
        tx.execute(update(LogoutEvent).where(LogoutEvent.id == event_id).values(access_expires_at=access_expires_at))
    written = outbox.Written()
    if tell_applications:
        # Only what the acting browser itself held: no other browser of the person can be made to open anything.
        here = actor.session_id if actor.browser_binding else None
        written = outbox.enqueue(
            tx, event_id=event_id, user_id=user_id, ended=ended, acting_session_id=here, reason=reason, now=now
        )
    audit.record(
        tx,
        "sessions_ended" if targets.sessions else "participation_ended",
        now=now,
        user_id=user_id,
        client_id=actor.client_id or _only_client(ended, targets),
        session_id=targets.sessions[0].id if len(targets.sessions) == 1 else None,
        actor=actor.name,
        ip_address=actor.ip_address,
        details={"reason": reason, "event": event_id, "browsers": browsers, "apps": apps, "to_tell": len(ended)},
    )
    tell_person(tx, user_id=user_id, reason=reason, browsers=browsers, apps=apps, settings=settings, now=now)
    return Ended(
        event_id=event_id,
        reason=reason,
        receipt=Secret(make_handle(event_id, receipt)),
        browsers=browsers,
        apps=apps,
        participations=len(ended),
        deliveries=written.pending,
        frontchannel=written.frontchannel,
        access_expires_at=access_expires_at,
    )


def _only_client(ended: Sequence[outbox.EndedParticipation], targets: Targets) -> str | None:
    """Whose access ended, when no session did: the person's history names it."""
    clients = {participation.client_id for participation in ended}
    return clients.pop() if not targets.sessions and len(clients) == 1 else None


def _end_participations(
    tx: Tx, user_id: str, conditions: Sequence[ColumnElement[bool]], *, reason: EndReason, now: datetime
) -> list[outbox.EndedParticipation]:
    ended = [
        row
        for which in conditions
        for row in tx.execute(
            update(SessionClient)
            .where(which, SessionClient.ended_at.is_(None))
            .values(ended_at=now, end_reason=reason)
            .returning(SessionClient.session_id, SessionClient.client_id, SessionClient.sid)
            .execution_options(synchronize_session=False)
        )
    ]
    if not ended:
        return []
    sub = tx.scalars(select(User.sub).where(User.id == user_id)).one()
    return [
        outbox.EndedParticipation(
            session_id=row.session_id, client_id=row.client_id, sid=row.sid, sub=sub, ended_at=now
        )
        for row in ended
    ]


def _mark_families(
    tx: Tx, conditions: Sequence[ColumnElement[bool]], *, reason: EndReason, now: datetime
) -> datetime | None:
    """Mark every family, then read when the last access token dies.

    The mark is a lock point, not the truth: a refresh already in flight has the row, so this UPDATE waits for it, and
    the read below sees the `access_expires_at` it handed out; a later refresh finds the mark when it re-checks its row.
    Without it, READ COMMITTED would let a waiting refresh check only its own row and not the ended session
    (docs/adr/0002). Revoked families count too: their access tokens may still be out there.
    """
    latest: list[datetime | None] = []
    for which in conditions:
        tx.execute(
            update(TokenFamily)
            .where(which, TokenFamily.revoked_at.is_(None))
            .values(revoked_at=now, revoke_reason=reason)
            .execution_options(synchronize_session=False)
        )
        found = select(func.max(TokenFamily.access_expires_at)).where(which, TokenFamily.access_expires_at > now)
        latest.append(tx.scalars(found).one())
    return max((moment for moment in latest if moment is not None), default=None)


def expire_codes(tx: Tx, which: ColumnElement[bool]) -> None:
    """Make unredeemed codes worthless."""
    # To a moment that is past on every node: one whose clock is behind ours would still honour a code that ended "now".
    tx.execute(
        update(AuthorizationCode)
        .where(which, AuthorizationCode.used_at.is_(None), AuthorizationCode.expires_at > LONG_AGO)
        .values(expires_at=LONG_AGO)
        .execution_options(synchronize_session=False)
    )
