"""Writing down the ends that time alone brought, and telling the RPs (lesson 3: expiry must not be silent).

An expired session is dead for every check without this; the sweep makes the end visible. It never waits for a lock:
several workers may sweep side by side.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, false, func, or_, select, update
from sqlalchemy.orm import aliased

from idp.db.engine import Tx
from idp.db.models import Client, EndReason, Session, SessionKind, TokenFamily
from idp.db.types import micros, to_microseconds
from idp.sessions.end import Actor, end_sessions
from idp.sessions.policy import SessionPolicy, computed_end
from idp.settings import Settings


@dataclass(frozen=True)
class Swept:
    """What a sweep looked at, and how many sessions ended for which reason."""

    looked_at: int
    ended: dict[EndReason, int]


def sweep(tx: Tx, *, now: datetime, settings: Settings, limit: int = 50) -> Swept:
    """Look at up to `limit` sessions whose hint is due: end the expired, move the hint of the others.

    The worker calls again, each time in a new transaction, until none was looked at.
    """
    policy = SessionPolicy.today(tx, settings)
    due = tx.execute(
        select(Session, Client)
        .outerjoin(Client, Client.id == Session.client_id)
        .where(Session.ended_at.is_(None), Session.sweep_at <= now)
        .order_by(Session.sweep_at)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True, of=Session)
    ).all()
    activity = _latest_activity(tx, [session.id for session, _ in due])
    expired: dict[tuple[str, EndReason], list[str]] = defaultdict(list)
    for session, client in due:
        last_active_at = max(session.last_active_at, activity.get(session.id, session.last_active_at))
        end = computed_end(session, client, last_active_at=last_active_at, policy=policy)
        if end.at <= now:
            expired[(session.user_id, end.reason)].append(session.id)
            if last_active_at > session.last_active_at:  # what the row says is what the person is told
                tx.execute(update(Session).where(Session.id == session.id).values(last_active_at=last_active_at))
        else:
            tx.execute(
                update(Session).where(Session.id == session.id).values(sweep_at=end.at, last_active_at=last_active_at)
            )
    ended: Counter[EndReason] = Counter()
    for (user_id, reason), session_ids in sorted(expired.items()):
        done = end_sessions(
            tx,
            user_id=user_id,
            session_ids=session_ids,
            reason=reason,
            actor=Actor(name="time"),
            settings=settings,
            now=now,
        )
        ended[reason] += done.browsers + done.apps
    return Swept(len(due), dict(ended))


def _latest_activity(tx: Tx, session_ids: list[str]) -> dict[str, datetime]:
    """The latest refresh that counts as activity, per session."""
    if not session_ids:
        return {}
    rows = tx.execute(
        select(TokenFamily.session_id, func.max(TokenFamily.last_used_at))
        .join(Client, Client.id == TokenFamily.client_id)
        .join(Session, Session.id == TokenFamily.session_id)
        .where(
            TokenFamily.session_id.in_(session_ids),
            TokenFamily.revoked_at.is_(None),
            or_(Session.kind == SessionKind.APP, Client.refresh_extends_session),
        )
        .group_by(TokenFamily.session_id)
    )
    return {session_id: used_at for session_id, used_at in rows if session_id is not None}


def tighten_hints(tx: Tx, *, settings: Settings, after: str = "", limit: int = 1000) -> str | None:
    """Pull the hints of live sessions forward to what today's policy says, `limit` sessions behind `after` by id.

    Returns the id to go on behind, in a new transaction, or None at the end. A worker runs it when it starts and after
    each change: a policy made shorter must end old sessions visibly too, not only for the checks. Where nobody may be
    kept signed in, the privilege is taken for good: it does not come back with the policy. Rows that others hold are
    passed over, so that nobody waits for us nor we for them.
    """
    page = tx.scalars(select(Session.id).where(Session.id > after).order_by(Session.id).limit(limit)).all()
    if not page:
        return None
    policy = SessionPolicy.today(tx, settings)
    earliest = _earliest_end(policy)
    is_late = micros(Session.sweep_at) > earliest
    loose = tx.scalars(
        select(Session.id)
        .where(
            Session.id > after,
            Session.id <= page[-1],
            Session.ended_at.is_(None),
            is_late if policy.keep_signed_in else or_(is_late, Session.keep_signed_in),
        )
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    if loose:
        tx.execute(
            update(Session)
            .where(Session.id.in_(loose))
            .values(
                sweep_at=case((is_late, earliest), else_=micros(Session.sweep_at)),
                keep_signed_in=Session.keep_signed_in if policy.keep_signed_in else false(),
            )
            .execution_options(synchronize_session=False)
        )
    return page[-1]


def _earliest_end(policy: SessionPolicy) -> Any:
    """SQL: the earliest moment at which a session can end by today's policy, judged by its own row."""
    app = aliased(Client)
    microsecond = policy.app_idle.resolution
    app_idle = (
        select(func.coalesce(micros(app.app_idle_lifetime), policy.app_idle // microsecond))
        .where(app.id == Session.client_id)
        .scalar_subquery()
    )
    app_absolute = (
        select(func.coalesce(micros(app.app_absolute_lifetime), policy.app_absolute // microsecond))
        .where(app.id == Session.client_id)
        .scalar_subquery()
    )
    is_app = Session.kind == SessionKind.APP
    idle_end = micros(Session.last_active_at) + case(
        (is_app, app_idle),
        (Session.keep_signed_in, policy.kept_idle // microsecond),
        else_=policy.browser_idle // microsecond,
    )
    absolute_end = micros(Session.started_at) + case(
        (is_app, app_absolute), else_=policy.browser_absolute // microsecond
    )
    by_time = case((idle_end < absolute_end, idle_end), else_=absolute_end)
    if policy.sign_in_again_since is None:
        return by_time
    since = to_microseconds(policy.sign_in_again_since)
    return case((and_(micros(Session.auth_time) < since, by_time > since), since), else_=by_time)
