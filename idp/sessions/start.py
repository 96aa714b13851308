"""Starting sessions: a person signs in in a browser, or an app gets tokens of its own.

Whatever starts a session locks the user row first and compares the epoch that the sign-in began under: "sign out
everywhere" raises the epoch under the same lock, so a sign-in that was half done when it happened never completes
(design §2.7, §9). A browser session always gets a new identifier at a new sign-in: no fixation.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import JSON, BigInteger, Boolean, LargeBinary, Select, String, bindparam, insert, select, update

from idp import audit
from idp.clients import ClientTerms
from idp.db.engine import Tx
from idp.db.models import EndReason, Session, SessionKind, User
from idp.db.once import run
from idp.db.types import UTCDateTime, to_microseconds
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import Secret, hash_secret, make_handle, new_secret, split_handle
from idp.sessions.end import Actor, Ended, end_sessions
from idp.sessions.find import has_cookie_secret, renew_secret
from idp.sessions.policy import SessionPolicy, Timed, first_sweep_at, is_live
from idp.settings import Settings


@dataclass(frozen=True)
class Device:
    """What a request says of the machine it comes from: for people to recognize, never for decisions."""

    device_name: str = ""
    os_name: str = ""
    agent_name: str = ""
    ip_address: str = ""


class SignInRefused(StrEnum):
    """Why no session was started although the secret was right."""

    ACCOUNT_CLOSED = "account_closed"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True)
class StartedSession:
    """A live session and the cookie value that proves it."""

    session_id: str
    handle: Secret
    is_reauthentication: bool
    # How long the browser may keep the cookie, at most; None: until it is closed.
    keep_for: timedelta | None = None
    ended: Ended | None = None  # the session of another person, which this browser held before


def start_browser_session(
    tx: Tx,
    *,
    user_id: str,
    expected_epoch: int,
    amr: list[str],
    acr: str | None,
    keep_signed_in: bool,
    device: Device,
    previous_handle: str | None,
    settings: Settings,
    now: datetime,
) -> StartedSession | SignInRefused:
    """Start a browser session for a person whose secret was verified under `expected_epoch`.

    `previous_handle` is the cookie that this browser held: a live session of the same person is kept, with a new secret
    and `auth_time` (OIDC Core §3.1.2.1, prompt=login); one of another person is ended, and its RPs are told.
    """
    policy = SessionPolicy.today(tx, settings)
    keep_signed_in = keep_signed_in and policy.keep_signed_in
    keep_for = policy.browser_absolute if keep_signed_in else None
    user = lock_user(tx, user_id)
    if user is None or user.disabled_at or user.deleted_at:
        return SignInRefused.ACCOUNT_CLOSED
    if user.epoch != expected_epoch:
        return SignInRefused.OVERTAKEN
    previous = _lock_previous(tx, previous_handle, settings, now)
    if previous is not None and previous.user_id == user_id:
        handle = _reauthenticate(tx, previous, amr=amr, acr=acr, keep_signed_in=keep_signed_in, policy=policy, now=now)
        _record(tx, "reauthenticated", user_id, previous.id, device, amr, now)
        return StartedSession(previous.id, handle, is_reauthentication=True, keep_for=keep_for)
    ended = None
    if previous is not None:
        ended = end_sessions(
            tx,
            user_id=previous.user_id,
            session_ids=[previous.id],
            reason=EndReason.OTHER_PERSON_SIGNED_IN,
            actor=Actor(name="other person", ip_address=device.ip_address),
            settings=settings,
            now=now,
        )
    secret = new_secret()
    session_id = _insert(
        tx,
        Timed(SessionKind.BROWSER, keep_signed_in, auth_time=now, started_at=now),
        user_id=user_id,
        client=None,
        amr=amr,
        acr=acr,
        device=device,
        policy=policy,
        secret_hash=hash_secret(secret.reveal()),
    )
    _record(tx, "sign_in", user_id, session_id, device, amr, now)
    handle = Secret(make_handle(session_id, secret))
    return StartedSession(session_id, handle, is_reauthentication=False, keep_for=keep_for, ended=ended)


def start_app_session(
    tx: Tx,
    *,
    user_id: str,
    parent_id: str,
    client: ClientTerms,
    auth_time: datetime,
    amr: list[str],
    acr: str | None,
    device: Device,
    policy: SessionPolicy,
    now: datetime,
) -> str:
    """Start the session of one installed app or tool that the parent, a live browser session, approved; its id.

    The caller holds the locks of the user and of the parent.
    """
    return _insert(
        tx,
        Timed(SessionKind.APP, keep_signed_in=False, auth_time=auth_time, started_at=now),
        user_id=user_id,
        client=client,
        amr=amr,
        acr=acr,
        device=device,
        policy=policy,
        client_id=client.id,
        parent_id=parent_id,
    )


_INSERT = insert(Session)


def _insert(
    tx: Tx,
    session: Timed,
    *,
    user_id: str,
    client: ClientTerms | None,
    amr: list[str],
    acr: str | None,
    device: Device,
    policy: SessionPolicy,
    **whose: Any,
) -> str:
    """Write the row of a session that starts now. `whose`: what only browsers, or only apps, have."""
    session_id = new_identifier(shard_key_in(user_id), session.started_at)
    run(
        tx,
        _INSERT,
        {
            **session._asdict(),
            **whose,
            "id": session_id,
            "user_id": user_id,
            "amr": amr,
            "acr": acr,
            "device_name": device.device_name,
            "os_name": device.os_name,
            "agent_name": device.agent_name,
            "ip_address": device.ip_address,
            "last_active_at": session.started_at,
            "sweep_at": first_sweep_at(session, client, policy=policy),
        },
    )
    return session_id


@dataclass(frozen=True, slots=True)
class LockedUser:
    """What the holder of a user's lock knows of the person, as of the lock."""

    id: str
    sub: str
    epoch: int
    password_hash: str | None = field(repr=False)
    disabled_at: datetime | None
    deleted_at: datetime | None


_LOCK_USER = (
    select(User.id, User.sub, User.epoch, User.password_hash, User.disabled_at, User.deleted_at)
    .where(User.id == bindparam("user", type_=String()))
    .with_for_update(key_share=True)  # FOR NO KEY UPDATE: foreign keys to the row are not held up
)


def lock_user(tx: Tx, user_id: str) -> LockedUser | None:
    """The user row, locked: first of all locks (design §9)."""
    row: tuple[Any, ...] | None = run(tx, _LOCK_USER, {"user": user_id}).one_or_none()
    return None if row is None else LockedUser(*row)


class _Previous(NamedTuple):
    """The live session that this browser held before, locked."""

    id: str
    user_id: str
    started_at: datetime
    sweep_at: datetime


def _lock_previous(tx: Tx, handle: str | None, settings: Settings, now: datetime) -> _Previous | None:
    parts = split_handle(handle) if handle else None
    if parts is None:
        return None
    session_id, secret = parts
    presented = {"session": session_id, "hashed": hash_secret(secret.reveal()), "now": to_microseconds(now)}
    row = run(tx, _lock_held(SessionPolicy.of(settings)), presented).one_or_none()
    return None if row is None else _Previous._make(row)


@lru_cache(maxsize=8)
def _lock_held(policy: SessionPolicy) -> Select[*tuple[Any, ...]]:
    moment = bindparam("now", type_=BigInteger())
    return (
        select(*(getattr(Session, name) for name in _Previous._fields))
        .where(
            Session.id == bindparam("session", type_=String()),
            Session.kind == SessionKind.BROWSER,
            has_cookie_secret(bindparam("hashed", type_=LargeBinary()), moment),
            is_live(moment, policy),
        )
        .with_for_update(key_share=True, of=Session)
    )


_REAUTHENTICATE = (
    update(Session)
    .where(Session.id == bindparam("session", type_=String()))
    .values(
        auth_time=bindparam("now", type_=UTCDateTime()),
        last_active_at=bindparam("now", type_=UTCDateTime()),
        amr=bindparam("proven_by", type_=JSON()),
        acr=bindparam("proven_as", type_=String()),
        keep_signed_in=bindparam("kept", type_=Boolean()),
        sweep_at=bindparam("look_at", type_=UTCDateTime()),
    )
)


def _reauthenticate(
    tx: Tx,
    session: _Previous,
    *,
    amr: list[str],
    acr: str | None,
    keep_signed_in: bool,
    policy: SessionPolicy,
    now: datetime,
) -> Secret:
    # The absolute end stays where it was: `started_at` never moves.
    today = Timed(SessionKind.BROWSER, keep_signed_in, auth_time=now, started_at=session.started_at)
    run(
        tx,
        _REAUTHENTICATE,
        {
            "session": session.id,
            "now": now,
            "proven_by": amr,
            "proven_as": acr,
            "kept": keep_signed_in,
            "look_at": min(session.sweep_at, now + policy.idle_lifetime(today, None)),
        },
    )
    return renew_secret(tx, session_id=session.id, now=now, keep_previous=True)


def _record(tx: Tx, kind: str, user_id: str, session_id: str, device: Device, amr: list[str], now: datetime) -> None:
    audit.record(
        tx,
        kind,
        now=now,
        user_id=user_id,
        session_id=session_id,
        actor="person",
        ip_address=device.ip_address,
        details={"amr": amr, "agent": device.agent_name, "os": device.os_name},
    )
