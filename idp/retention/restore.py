"""After a back-up was restored: ending everything that it may have brought back to life (design §5).

A restored database has forgotten who signed out, was disabled or changed a password since the back-up, and accepts
refresh tokens that were rotated since. Whatever was live at the moment `since` therefore ends, with the reason
"restored"; what was over by then is over still. In batches, before the service takes requests again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import aliased

from idp.db.engine import Tx
from idp.db.models import (
    AuthorizationCode,
    Client,
    EndReason,
    SelfTestLink,
    Session,
    StoredRequest,
    TokenFamily,
    User,
)
from idp.sessions import Actor, SessionPolicy, end_sessions, is_live
from idp.settings import Settings

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_ACCESS_TOKEN = timedelta(hours=1)


def count_people_live_since(tx: Tx, *, since: datetime, settings: Settings) -> int:
    """How many people `end_live_since` has still to go through, at the most."""
    count: int = tx.scalars(_live(func.count(Session.user_id.distinct()), since, settings)).one()
    return count


def end_live_since(
    tx: Tx, *, since: datetime, after: str, actor: Actor, settings: Settings, now: datetime, limit: int = 50
) -> tuple[str | None, int, int]:
    """End the sessions of up to `limit` people behind `after` (by identifier) that were live at `since`.

    Also raises those people's epochs. Returns the identifier to go on behind, None at the end; and how many people and
    sessions that were. Each call is one transaction.
    """
    people = tx.scalars(
        _live(Session.user_id, since, settings)
        .where(Session.user_id > after)
        .distinct()
        .order_by(Session.user_id)
        .limit(limit)
    ).all()
    sessions = 0
    for user_id in people:
        tx.execute(update(User).where(User.id == user_id).values(epoch=User.epoch + 1))  # the user lock, and first
        ended = end_sessions(
            tx,
            user_id=user_id,
            session_ids=tx.scalars(_live(Session.id, since, settings).where(Session.user_id == user_id)).all(),
            reason=EndReason.RESTORED,
            actor=actor,
            settings=settings,
            now=now,
        )
        sessions += ended.browsers + ended.apps
    return (people[-1] if people else None), len(people), sessions


def invalidate_half_way(tx: Tx, *, now: datetime, limit: int = 500) -> int:
    """Make up to `limit` codes, requests put aside, links to self-tests and tokens of services worthless.

    Call it again until it returns 0.
    """
    return (
        _expire(tx, AuthorizationCode, now, limit)
        or _expire(tx, StoredRequest, now, limit)
        or _expire_links(tx, now, limit)
        or _revoke_services(tx, now, limit)
    )


def _expire(tx: Tx, model: Any, now: datetime, limit: int) -> int:
    # What was used since the back-up looks unused again (I8). To a moment that is past on every node.
    chosen = tx.scalars(select(model.id).where(model.expires_at > now, model.used_at.is_(None)).limit(limit)).all()
    tx.execute(
        update(model)
        .where(model.id.in_(chosen))
        .values(expires_at=LONG_AGO)
        .execution_options(synchronize_session=False)
    )
    return len(chosen)


def _expire_links(tx: Tx, now: datetime, limit: int) -> int:
    # One that was withdrawn since the back-up is there again.
    chosen = tx.scalars(select(SelfTestLink.id).where(SelfTestLink.expires_at > now).limit(limit)).all()
    tx.execute(
        update(SelfTestLink)
        .where(SelfTestLink.id.in_(chosen))
        .values(expires_at=LONG_AGO)
        .execution_options(synchronize_session=False)
    )
    return len(chosen)


def _revoke_services(tx: Tx, now: datetime, limit: int) -> int:
    """The families of services: nothing ends them, and a denial of one of their tokens may be forgotten."""
    chosen = tx.scalars(
        select(TokenFamily.id)
        .where(
            TokenFamily.user_id.is_(None),
            TokenFamily.started_at > now - 2 * _LONGEST_ACCESS_TOKEN,
            TokenFamily.access_expires_at > now,
            TokenFamily.revoked_at.is_(None),
        )
        .limit(limit)
    ).all()
    tx.execute(
        update(TokenFamily)
        .where(TokenFamily.id.in_(chosen))
        .values(revoked_at=now, revoke_reason=EndReason.RESTORED)
        .execution_options(synchronize_session=False)
    )
    return len(chosen)


def _live(column: Any, since: datetime, settings: Settings) -> Select[Any]:
    """A column of the sessions that were live at `since` or began later. All others are dead by today's policy too."""
    app = aliased(Client)
    return (
        select(column)
        .select_from(Session)
        .outerjoin(app, app.id == Session.client_id)
        .where(is_live(since, SessionPolicy.of(settings), client=app))
    )
