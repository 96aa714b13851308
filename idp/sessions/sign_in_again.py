"""Ending what rests on a sign-in older than a moment: of one person at once, of one application's people in batches.

What makes tokens and sessions useless is computed at every check (`idp.sessions.policy`, docs/adr/0010); this writes
the ends down by the one path and tells the applications. A sign-in of the same browser after the moment renews its
`auth_time`, and what rests on that goes on.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select

from idp.db.engine import Tx
from idp.db.models import AuthorizationCode, EndReason, Session, SessionClient
from idp.sessions.census import is_redeemable
from idp.sessions.end import Actor, Ended, end_matching, lock_users
from idp.sessions.end_client import end_of_client
from idp.sessions.mass_end import MassEnd
from idp.sessions.start import lock_user
from idp.settings import Settings


def end_older_of_user(
    tx: Tx, *, user_id: str, since: datetime, actor: Actor, settings: Settings, now: datetime
) -> Ended:
    """End every session of a person whose sign-in is older than `since`. One transaction is enough for one person."""
    lock_user(tx, user_id)  # whatever starts a session waits here, and carries a newer sign-in
    return end_matching(
        tx,
        user_id=user_id,
        which=Session.auth_time < since,
        reason=EndReason.SIGN_IN_AGAIN,
        actor=actor,
        settings=settings,
        now=now,
    )


def end_older_of_client(
    tx: Tx, *, client_id: str, since: datetime, after: str, actor: Actor, settings: Settings, now: datetime, limit: int
) -> MassEnd:
    """End what a client has by older sign-ins of up to `limit` people behind `after`: app sessions, parts in browsers'.

    Who only holds a code comes up too, as it may just be redeemed, and counts as one of `people` if something ended.
    """
    older = _rests_on_older(client_id, since, now)
    people = tx.scalars(
        select(Session.user_id)
        .where(Session.user_id > after, Session.ended_at.is_(None), older)
        .distinct()
        .order_by(Session.user_id)
        .limit(limit)
    ).all()
    lock_users(tx, people)
    batch = [
        end_of_client(
            tx,
            user_id=user_id,
            client_id=client_id,
            which=older,
            reason=EndReason.SIGN_IN_AGAIN,
            actor=actor,
            settings=settings,
            now=now,
        )
        for user_id in people
    ]
    return MassEnd(
        people[-1] if people else None,
        people=sum(ended.event_id is not None for ended in batch),
        apps=sum(ended.apps for ended in batch),
        participations=sum(ended.participations for ended in batch),
        notices=sum(ended.deliveries for ended in batch),
    )


def _rests_on_older(client_id: str, since: datetime, now: datetime) -> ColumnElement[bool]:
    takes_part = exists().where(
        SessionClient.session_id == Session.id, SessionClient.client_id == client_id, SessionClient.ended_at.is_(None)
    )
    # A code that was not redeemed when the moment was committed may be meanwhile: refused by every check, but alive.
    holds_code = exists().where(AuthorizationCode.session_id == Session.id, is_redeemable(client_id, now))
    return and_(Session.auth_time < since, or_(Session.client_id == client_id, takes_part, holds_code))
