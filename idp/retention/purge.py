"""Deleting what nothing needs any more, kind after kind, in small batches that wait for nobody.

What is kept longer than its own life: one-time things and client-credentials families a day; ended sessions with all
that hangs on them, revoked families, receipts and mail `history_lifetime`; the audit trail `audit_lifetime`. Live
sessions, their live families (reuse detection needs those) and notices on their way are never touched. Rows that
somebody holds are passed over: the next run finds them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, literal_column, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, aliased

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    DeniedAccessToken,
    GuessBudget,
    LogoutDelivery,
    LogoutEvent,
    MailMessage,
    SelfTestLink,
    Session,
    SessionClient,
    StoredRequest,
    TokenFamily,
)
from idp.keys.lifecycle import count_purgeable_keys, purge_keys
from idp.policy import read_in_force
from idp.settings import Settings

BATCH = 200
# Longer than any request is under way, and long enough to look into what happened yesterday.
ONE_TIME_GRACE = timedelta(days=1)
# Nodes whose clocks differ by more than two seconds are not ready (design §5).
CLOCK_MARGIN = timedelta(minutes=1)
LONGEST_ACCESS_TOKEN = timedelta(hours=1)
# Spelled out, not bound: only so do both databases use the partial index on pending rows.
_IS_PENDING: ColumnElement[bool] = literal_column("logout_deliveries.state = 'pending'")


@dataclass(frozen=True)
class Kind:
    """One sort of rows. `name` for scripts, `words` for people."""

    name: str
    words: str
    count: Callable[[Tx, datetime, Settings], int]
    remove: Callable[[Tx, datetime, Settings, int], int]


def purge_batch(tx: Tx, kind: Kind, *, settings: Settings, now: datetime, limit: int = BATCH) -> int:
    """Delete up to `limit` rows of a kind, with what hangs on them; returns how many. 0: nothing is left to delete."""
    return kind.remove(tx, now, settings, limit)


Due = Callable[[datetime, Settings], Select[str]]
Delete = Callable[[Tx, Sequence[str]], int]


def _kind(name: str, words: str, due: Due, remove: Delete) -> Kind:
    """A kind whose rows are found by `due`, which selects their keys, and deleted by `remove`."""

    def count(tx: Tx, now: datetime, settings: Settings) -> int:
        return tx.scalars(select(func.count()).select_from(due(now, settings).order_by(None).subquery())).one()

    def remove_batch(tx: Tx, now: datetime, settings: Settings, limit: int) -> int:
        chosen = tx.scalars(due(now, settings).limit(limit).with_for_update(skip_locked=True)).all()
        return remove(tx, chosen) if chosen else 0

    return Kind(name, words, count, remove_batch)


def _just_delete(key: InstrumentedAttribute[str]) -> Delete:
    """Delete the rows themselves; nothing refers to them."""

    def remove(tx: Tx, keys: Sequence[str]) -> int:
        _delete(tx, key.in_(keys), key.class_)
        return len(keys)

    return remove


def _delete(tx: Tx, which: ColumnElement[bool], model: Any) -> None:
    tx.execute(delete(model).where(which).execution_options(synchronize_session=False))


# ── What is due ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _stored_requests(now: datetime, _settings: Settings) -> Select[str]:
    return (
        select(StoredRequest.id)
        .where(StoredRequest.expires_at < now - ONE_TIME_GRACE)
        .order_by(StoredRequest.expires_at)
    )


def _self_test_links(now: datetime, _settings: Settings) -> Select[str]:
    return (
        select(SelfTestLink.id).where(SelfTestLink.expires_at < now - ONE_TIME_GRACE).order_by(SelfTestLink.expires_at)
    )


def _codes(now: datetime, _settings: Settings) -> Select[str]:
    # An end sets `expires_at` to long ago: the age counts too, or the code would go under its redemption.
    cutoff = now - ONE_TIME_GRACE
    return (
        select(AuthorizationCode.id)
        .where(AuthorizationCode.expires_at < cutoff, AuthorizationCode.created_at < cutoff)
        .order_by(AuthorizationCode.expires_at)
    )


def _denied_tokens(now: datetime, _settings: Settings) -> Select[str]:
    return (
        select(DeniedAccessToken.jti)
        .where(DeniedAccessToken.expires_at < now - CLOCK_MARGIN)
        .order_by(DeniedAccessToken.expires_at)
    )


def _guess_budgets(now: datetime, settings: Settings) -> Select[str]:
    cutoff = now - settings.guess_window_lifetime - CLOCK_MARGIN
    return select(GuessBudget.key).where(GuessBudget.window_started_at < cutoff).order_by(GuessBudget.window_started_at)


def _client_credentials(now: datetime, _settings: Settings) -> Select[str]:
    # By the start, which is indexed: the expiry must not be (a rotation changes it in the families of people).
    cutoff = now - ONE_TIME_GRACE
    return (
        select(TokenFamily.id)
        .where(
            TokenFamily.user_id.is_(None),
            TokenFamily.started_at < cutoff - LONGEST_ACCESS_TOKEN,
            TokenFamily.access_expires_at < cutoff,
        )
        .order_by(TokenFamily.started_at)
    )


def _revoked_families(now: datetime, settings: Settings) -> Select[str]:
    """Those that a living participation would carry along until its session goes; the others go with theirs."""
    lives = exists().where(SessionClient.id == TokenFamily.session_client_id, SessionClient.ended_at.is_(None))
    return (
        select(TokenFamily.id)
        .where(TokenFamily.revoked_at < now - settings.history_lifetime, lives)
        .order_by(TokenFamily.revoked_at)
    )


def _participations(now: datetime, settings: Settings) -> Select[str]:
    return (
        select(SessionClient.id)
        .where(SessionClient.ended_at < now - settings.history_lifetime)
        .order_by(SessionClient.ended_at)
    )


def _sessions(now: datetime, settings: Settings) -> Select[str]:
    on_its_way = exists().where(LogoutDelivery.session_id == Session.id, _IS_PENDING)
    return (
        select(Session.id)
        .where(Session.ended_at < now - settings.history_lifetime, ~on_its_way)
        .order_by(Session.ended_at)
    )


def _events(now: datetime, settings: Settings) -> Select[str]:
    on_its_way = exists().where(LogoutDelivery.event_id == LogoutEvent.id, _IS_PENDING)
    names_a_session = exists().where(Session.logout_event_id == LogoutEvent.id)
    return (
        select(LogoutEvent.id)
        .where(
            LogoutEvent.occurred_at < now - settings.history_lifetime,
            or_(LogoutEvent.receipt_expires_at.is_(None), LogoutEvent.receipt_expires_at < now),
            ~on_its_way,
            ~names_a_session,
        )
        .order_by(LogoutEvent.occurred_at)
    )


def _mail(now: datetime, settings: Settings) -> Select[str]:
    return (
        select(MailMessage.id)
        .where(MailMessage.settled_at < now - settings.history_lifetime)
        .order_by(MailMessage.settled_at)
    )


def _audit_trail(now: datetime, settings: Settings) -> Select[str]:
    return (
        select(AuditEvent.id)
        .where(AuditEvent.occurred_at < now - settings.audit_lifetime)
        .order_by(AuditEvent.occurred_at)
    )


# ── What goes with it ─────────────────────────────────────────────────────────────────────────────────────────────────


def _remove_participations(tx: Tx, ids: Sequence[str]) -> int:
    _remove_families(tx, TokenFamily.session_client_id.in_(ids))
    _delete(tx, SessionClient.id.in_(ids), SessionClient)
    return len(ids)


def _remove_sessions(tx: Tx, ids: Sequence[str]) -> int:
    """Sessions, children first. The apps that a browser session approved may live on: they forget where that was."""
    apps = aliased(Session)
    orphaned = select(apps.id).where(apps.parent_id.in_(ids)).with_for_update(skip_locked=True)
    orphans = tx.scalars(orphaned).all()
    tx.execute(
        update(Session)
        .where(Session.id.in_(orphans))
        .values(parent_id=None)
        .execution_options(synchronize_session=False)
    )
    # Whose app is in somebody's hands just now stays for the next run: waiting here could be waiting in a circle.
    held = set(tx.scalars(select(apps.parent_id).where(apps.parent_id.in_(ids))))
    ids = [one for one in ids if one not in held]
    _remove_families(tx, TokenFamily.session_id.in_(ids))
    _delete(tx, AuthorizationCode.session_id.in_(ids), AuthorizationCode)
    _delete(tx, SessionClient.session_id.in_(ids), SessionClient)
    _delete(tx, LogoutDelivery.session_id.in_(ids), LogoutDelivery)
    _delete(tx, Session.id.in_(ids), Session)
    return len(ids)


def _remove_revoked_families(tx: Tx, ids: Sequence[str]) -> int:
    _remove_families(tx, TokenFamily.id.in_(ids))
    return len(ids)


def _remove_families(tx: Tx, which: ColumnElement[bool]) -> None:
    """Families, and before them the codes that gave them: those belong to the browser session that approved."""
    _delete(tx, AuthorizationCode.family_id.in_(select(TokenFamily.id).where(which)), AuthorizationCode)
    _delete(tx, which, TokenFamily)


def _remove_events(tx: Tx, ids: Sequence[str]) -> int:
    _delete(tx, LogoutDelivery.event_id.in_(ids), LogoutDelivery)
    _delete(tx, LogoutEvent.id.in_(ids), LogoutEvent)
    return len(ids)


def _audit() -> Kind:
    kind = _kind("audit_events", "audit rows", _audit_trail, _just_delete(AuditEvent.id))

    def remove(tx: Tx, now: datetime, settings: Settings, limit: int) -> int:
        gone = kind.remove(tx, now, settings, limit)
        if gone:  # the trail says itself where it was cut (I18)
            record(tx, "audit_purged", now=now, actor="retention", details={"rows": gone})
        return gone

    return Kind(kind.name, kind.words, kind.count, remove)


KINDS: tuple[Kind, ...] = (
    _kind("stored_requests", "requests put aside", _stored_requests, _just_delete(StoredRequest.id)),
    _kind("self_test_links", "links to self-tests", _self_test_links, _just_delete(SelfTestLink.id)),
    _kind("authorization_codes", "authorization codes", _codes, _just_delete(AuthorizationCode.id)),
    _kind("denied_access_tokens", "denied access tokens", _denied_tokens, _just_delete(DeniedAccessToken.jti)),
    _kind("guess_budgets", "guess budgets", _guess_budgets, _just_delete(GuessBudget.key)),
    _kind("client_credentials", "tokens of services", _client_credentials, _just_delete(TokenFamily.id)),
    _kind("revoked_families", "revoked tokens", _revoked_families, _remove_revoked_families),
    _kind("participations", "applications' parts in sessions", _participations, _remove_participations),
    _kind("sessions", "ended sessions", _sessions, _remove_sessions),
    _kind("logout_events", "sign-outs and their notices", _events, _remove_events),
    _kind("mail_messages", "mail", _mail, _just_delete(MailMessage.id)),
    _audit(),
    Kind(
        "signing_keys",
        "signing keys",
        # By the lifetimes in force: an ID token is taken as a hint for as long as a session may live.
        lambda tx, now, settings: count_purgeable_keys(tx, now=now, settings=read_in_force(tx, settings).settings),
        lambda tx, now, settings, _limit: purge_keys(tx, now=now, settings=read_in_force(tx, settings).settings),
    ),
)
"""In an order in which the later find what the earlier left of what refers to them."""
