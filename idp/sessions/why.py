"""Why a session is over, for whoever held it, and how long what ended it had lasted (lesson 22). Reads only.

The durations are facts of the session's own row and not today's policy: a policy may have changed since.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select

from idp.db.engine import Tx
from idp.db.models import EndReason, Session, User
from idp.kit.opaque import hash_secret, split_handle
from idp.sessions.policy import SessionPolicy, computed_end


@dataclass(frozen=True)
class WhyEnded:
    """An `EndReason` value; after idling how long the session lay unused, after its absolute end how long it lived."""

    reason: str
    lasted: timedelta | None = None


def why_ended(tx: Tx, *, handle: str | None, now: datetime, policy: SessionPolicy) -> WhyEnded | None:
    """Why the session of a cookie value is over, also when only time ended it so far; None for garbage or a live one.

    The secret is checked: the reason is told to the browser that held the session and to nobody else.
    """
    parts = split_handle(handle) if handle else None
    if parts is None:
        return None
    session_id, secret = parts
    hashed = hash_secret(secret.reveal())
    row = tx.execute(
        select(Session, User)
        .join(User, User.id == Session.user_id)
        .where(Session.id == session_id, or_(Session.secret_hash == hashed, Session.previous_secret_hash == hashed))
    ).one_or_none()
    if row is None:
        return None
    session, user = row
    if session.ended_at is not None:
        return _why(session, str(session.end_reason), session.ended_at)
    if user.deleted_at is not None:
        return WhyEnded(EndReason.USER_DELETED)
    if user.disabled_at is not None:
        return WhyEnded(EndReason.USER_DISABLED)
    end = computed_end(session, None, last_active_at=session.last_active_at, policy=policy)
    return _why(session, end.reason, end.at) if end.at <= now else None


def how_long(reason: str, *, started_at: datetime, last_active_at: datetime, ended_at: datetime) -> timedelta | None:
    """How long a session lay unused (ended by idling) or lived (ended by its absolute end); None for other reasons."""
    match reason:
        case EndReason.IDLE:
            return max(timedelta(0), ended_at - last_active_at)
        case EndReason.EXPIRED:
            return max(timedelta(0), ended_at - started_at)
        case _:
            return None


def _why(session: Session, reason: str, ended_at: datetime) -> WhyEnded:
    lasted = how_long(reason, started_at=session.started_at, last_active_at=session.last_active_at, ended_at=ended_at)
    return WhyEnded(reason, lasted)
