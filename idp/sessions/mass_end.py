"""Ending what everybody has, or what everybody has with one application, person after person in small transactions.

Owns who comes next and what counts as begun before; the ends themselves are the one path's (`idp.sessions.end`). Each
person comes up once, so that it ends although people sign in again meanwhile, and may be interrupted and repeated.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select, update

from idp.db.engine import Tx
from idp.db.models import EndReason, Session, User
from idp.sessions.census import people_of_client
from idp.sessions.end import Actor, end_matching, lock_users
from idp.sessions.end_client import end_client_for_user
from idp.settings import Settings


@dataclass(frozen=True)
class MassEnd:
    """What one batch did. `last`: go on behind this person; None when there was nobody left."""

    last: str | None = None
    people: int = 0
    browsers: int = 0
    apps: int = 0
    participations: int = 0
    notices: int = 0


def count_people(tx: Tx, *, client_id: str | None, before: datetime, now: datetime) -> int:
    """How many people `end_next_people` has still to go through."""
    return tx.scalars(select(func.count()).select_from(_people(client_id, before, now).subquery())).one()


def end_next_people(
    tx: Tx,
    *,
    client_id: str | None,
    before: datetime,
    after: str,
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
    limit: int = 50,
) -> MassEnd:
    """End what up to `limit` people behind `after` (by identifier) have. The caller commits each batch.

    Without a `client_id`: every session that began before the moment `before`, and everything half-way. With one: that
    application's app sessions as a whole, and its parts in browser sessions, which go on.
    """
    found = _people(client_id, before, now).subquery()
    people = tx.scalars(
        select(found.c.user_id).where(found.c.user_id > after).order_by(found.c.user_id).limit(limit)
    ).all()
    lock_users(tx, people)
    browsers = apps = participations = notices = 0
    for user_id in people:
        if client_id is None:
            tx.execute(update(User).where(User.id == user_id).values(epoch=User.epoch + 1))
            ended = end_matching(
                tx,
                user_id=user_id,
                which=Session.started_at < before,
                reason=reason,
                actor=actor,
                settings=settings,
                now=now,
            )
        else:
            ended = end_client_for_user(
                tx, user_id=user_id, client_id=client_id, reason=reason, actor=actor, settings=settings, now=now
            )
        browsers, apps = browsers + ended.browsers, apps + ended.apps
        participations, notices = participations + ended.participations, notices + ended.deliveries
    return MassEnd(people[-1] if people else None, len(people), browsers, apps, participations, notices)


def _people(client_id: str | None, before: datetime, now: datetime) -> Select[str]:
    if client_id is not None:
        return select(people_of_client(client_id, now).subquery().c.user_id)
    return select(Session.user_id).where(Session.ended_at.is_(None), Session.started_at < before).distinct()
