"""Finding the live session behind a cookie, and noting that it is used.

The check is one statement over session and user: validity is derived here and now, never remembered (design §2.1).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    LargeBinary,
    String,
    Update,
    and_,
    bindparam,
    or_,
    select,
    update,
)

from idp.db.engine import SingleStatements, Tx
from idp.db.fixed import FixedStatement
from idp.db.models import Session, SessionKind, User
from idp.db.once import run
from idp.db.types import UTCDateTime, micros, to_microseconds
from idp.kit.opaque import Secret, hash_secret, make_handle, new_secret, split_handle
from idp.sessions.policy import PAGE_TOUCH_INTERVAL, SessionPolicy, is_live

# After a renewal the previous cookie secret is read a little longer, for tabs that loaded at the same time.
PREVIOUS_SECRET_GRACE = timedelta(seconds=30)


class _Found(NamedTuple):
    """What the statement finds: the session, whose it is, and whether the secret is the one before."""

    id: str
    user_id: str
    sub: str
    user_epoch: int
    claims: dict[str, Any]
    email: str | None
    username: str | None
    auth_time: datetime
    amr: list[str]
    acr: str | None
    keep_signed_in: bool
    started_at: datetime
    last_active_at: datetime
    was_previous_secret: bool


@dataclass(frozen=True)
class CurrentSession:
    """The live browser session of a request, and who it belongs to."""

    id: str
    user_id: str
    sub: str
    user_epoch: int
    user_display_name: str
    email: str | None
    username: str | None
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str | None
    keep_signed_in: bool
    started_at: datetime
    last_active_at: datetime
    needs_touch: bool
    was_previous_secret: bool


def find_current(
    statements: SingleStatements, *, handle: str | None, now: datetime, policy: SessionPolicy
) -> CurrentSession | None:
    """The live browser session whose cookie value is `handle`, or None. One statement; none at all for garbage."""
    parts = split_handle(handle) if handle else None
    if parts is None:
        return None
    session_id, secret = parts
    presented = {"id": session_id, "hashed": hash_secret(secret.reveal()), "now": to_microseconds(now)}
    found: _Found | None = statements.one_or_none(_owner_of_cookie(statements.dialect, policy), presented)
    if found is None:
        return None
    return CurrentSession(
        id=found.id,
        user_id=found.user_id,
        sub=found.sub,
        user_epoch=found.user_epoch,
        user_display_name=found.claims.get("name") or found.username or found.email or "",
        email=found.email,
        username=found.username,
        auth_time=found.auth_time,
        amr=tuple(found.amr),
        acr=found.acr,
        keep_signed_in=found.keep_signed_in,
        started_at=found.started_at,
        last_active_at=found.last_active_at,
        needs_touch=now - found.last_active_at >= PAGE_TOUCH_INTERVAL,
        was_previous_secret=bool(found.was_previous_secret),
    )


@lru_cache(maxsize=8)
def _owner_of_cookie(dialect: Dialect, policy: SessionPolicy) -> FixedStatement:
    # Written once per policy: every page asks it, and making the expression costs more than the database's answer.
    moment, hashed = bindparam("now", type_=BigInteger()), bindparam("hashed", type_=LargeBinary())
    statement = (
        select(Session, User)
        .join(User, User.id == Session.user_id)
        .where(
            Session.id == bindparam("id", type_=String()),
            Session.kind == SessionKind.BROWSER,
            has_cookie_secret(hashed, moment),
            is_live(moment, policy),
            User.disabled_at.is_(None),
            User.deleted_at.is_(None),
        )
    )
    columns = (
        Session.id,
        Session.user_id,
        User.sub,
        User.epoch,
        User.claims,
        User.email,
        User.username,
        Session.auth_time,
        Session.amr,
        Session.acr,
        Session.keep_signed_in,
        Session.started_at,
        Session.last_active_at,
        (Session.secret_hash != hashed).label("was_previous_secret"),
    )
    return FixedStatement(statement, columns, dialect, row=_Found._make)


def has_cookie_secret(hashed: ColumnElement[bytes], moment: ColumnElement[int]) -> ColumnElement[bool]:
    """SQL: whether a session's cookie secret has this hash, or had it until a renewal less than 30 s ago."""
    return or_(
        Session.secret_hash == hashed,
        and_(Session.previous_secret_hash == hashed, micros(Session.previous_secret_until) > moment),
    )


_IS_IT = Session.id == bindparam("session", type_=String())
_TOUCH = (
    update(Session)
    .where(_IS_IT, Session.ended_at.is_(None), Session.last_active_at < bindparam("now", type_=UTCDateTime()))
    .values(last_active_at=bindparam("now", type_=UTCDateTime()))
)


def touch(tx: Tx, *, session_id: str, now: datetime) -> None:
    """Note activity. A transaction of its own, so that no hot path ever holds the session row (design §5)."""
    run(tx, _TOUCH, {"session": session_id, "now": now})


def _renewal(previous: Any) -> Update:
    return (
        update(Session)
        .where(_IS_IT, Session.ended_at.is_(None))
        .values(
            previous_secret_hash=previous,
            previous_secret_until=bindparam("until", type_=UTCDateTime()),
            secret_hash=bindparam("hashed", type_=LargeBinary()),
        )
    )


_RENEW_AND_KEEP, _RENEW = _renewal(Session.secret_hash), _renewal(None)


def renew_secret(tx: Tx, *, session_id: str, now: datetime, keep_previous: bool) -> Secret:
    """Give a live session a new cookie secret and return the new cookie value.

    `keep_previous` lets the old cookie be read for 30 s more; without it the old one dies at once, which is what
    "sign out everywhere else" needs: whoever copied the cookie is somewhere else.
    """
    secret = new_secret()
    changed = run(
        tx,
        _RENEW_AND_KEEP if keep_previous else _RENEW,
        {
            "session": session_id,
            "hashed": hash_secret(secret.reveal()),
            "until": now + PREVIOUS_SECRET_GRACE if keep_previous else None,
        },
    )
    if changed.rowcount != 1:
        raise LookupError("no live session to renew: lock and check it first")
    return Secret(make_handle(session_id, secret))
