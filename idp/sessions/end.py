"""The one path by which sessions, and clients' participations in them, end.

Whatever the cause, here and nowhere else: the session, its participations, the mark on every token family, unredeemed
codes, one durable notice per application, the receipt and the audit row, all in the caller's one transaction. There is
no way back (I1), and nothing leaves the server before the commit (I16).

Locks, in this order: user (when everything ends, or all of a client) → sessions by id → families → outbox, audit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, insert, select, update

from idp import audit, outbox
from idp.db.engine import Tx
from idp.db.listed import is_listed
from idp.db.models import EndReason, LogoutEvent, Session, SessionKind, User
from idp.db.once import run
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import Secret, hash_secret, make_handle, new_secret
from idp.sessions.dependants import end_participations, expire_codes, mark_families, of_parts, of_sessions
from idp.sessions.end_mail import tell_person
from idp.settings import Settings


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


_LOCK_ALL = (
    select(Session.id, Session.kind, Session.client_id)
    .where(Session.user_id == bindparam("user"), Session.ended_at.is_(None))
    # By id: two ends that overlap lock in the same order and cannot deadlock (design §9).
    .order_by(Session.id)
    .with_for_update(key_share=True)
)
_LOCK_NAMED = _LOCK_ALL.where(is_listed(Session.id, "named"))
_LOCK_USERS = select(User.id).where(is_listed(User.id, "users")).order_by(User.id).with_for_update(key_share=True)
_RAISE_EPOCH = update(User).where(User.id == bindparam("user")).values(epoch=User.epoch + 1)
_INSERT_EVENT = insert(LogoutEvent)
_END_SESSIONS = (
    update(Session)
    .where(is_listed(Session.id, "named"))
    .values(ended_at=bindparam("now"), end_reason=bindparam("why"), logout_event_id=bindparam("event"))
)


def end_sessions(
    tx: Tx,
    *,
    user_id: str,
    session_ids: Sequence[str],
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
) -> Ended:
    """End these sessions of this person. Others' sessions, unknown ids and ended sessions are left alone (I13)."""
    return end_targets(
        tx,
        user_id,
        Targets(_locked(tx, _LOCK_NAMED, {"user": user_id, "named": session_ids})),
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
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
    run(tx, _RAISE_EPOCH, {"user": user_id})
    # The one that goes on is locked in its turn too: its secret is renewed next, when it is too late for the order.
    locked = _locked(tx, _LOCK_ALL, {"user": user_id})
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


def lock_users(tx: Tx, user_ids: Sequence[str]) -> None:
    """Lock these people, before any session: an app that is just redeeming a code has its session then, or gets none.

    Whoever ends what several people have locks them all here first. One after the other, each behind the sessions of
    the one before, could meet a sign-in in somebody else's browser: it locks its person, and then that session.
    """
    run(tx, _LOCK_USERS, {"users": user_ids}).all()


def lock_sessions(tx: Tx, user_id: str, which: ColumnElement[bool]) -> list[Locked]:
    """Lock this person's sessions that have not ended and match; for the verbs that end them, and nobody else."""
    return _locked(tx, _LOCK_ALL.where(which), {"user": user_id})


def _locked(tx: Tx, lock: Select[str, SessionKind, str | None], values: Mapping[str, object]) -> list[Locked]:
    return [Locked._make(row) for row in run(tx, lock, values)]


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
    session_ids = [session.id for session in targets.sessions]
    browsers = sum(session.kind is SessionKind.BROWSER for session in targets.sessions)
    apps = len(session_ids) - browsers
    # Two statements, never one joined by OR: PostgreSQL would read the whole tables instead of two indexes.
    named = [
        *([of_sessions(session_ids)] if session_ids else []),
        *([of_parts(targets.participation_ids)] if targets.participation_ids else []),
    ]
    ended = [part for one in named for part in end_participations(tx, one, reason=reason, now=now)]
    last_accesses = [mark_families(tx, one, reason=reason, now=now) for one in named]
    access_expires_at = max((moment for moment in last_accesses if moment is not None), default=None)
    if browsers:  # an app has none: a code hangs on the browser in which it was asked for
        expire_codes(tx, session_ids)
    receipt = new_secret(128)
    run(
        tx,
        _INSERT_EVENT,
        {
            "id": event_id,
            "user_id": user_id,
            "reason": reason,
            "actor_session_id": actor.session_id,
            "initiating_client_id": actor.client_id,
            "browsers_ended": browsers,
            "apps_ended": apps,
            "access_expires_at": access_expires_at,
            "receipt_hash": hash_secret(receipt.reveal()),
            "receipt_browser_hash": hash_secret(actor.browser_binding) if actor.browser_binding else None,
            "receipt_expires_at": now + settings.receipt_lifetime,
            "occurred_at": now,
        },
    )
    if session_ids:
        run(tx, _END_SESSIONS, {"named": session_ids, "event": event_id, "why": reason, "now": now})
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
