"""Ending what one application has of a person: everywhere, in one session, or of everybody.

An app session is nothing but its app and ends as a whole; a browser session goes on without the application. All of it
by the one path (`idp.sessions.end`), under the same locks in the same order.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, exists, or_, select

from idp.db.engine import Tx
from idp.db.listed import is_listed
from idp.db.models import AuthorizationCode, EndReason, Session, SessionClient
from idp.db.once import run
from idp.sessions.census import people_of_client
from idp.sessions.dependants import expire_codes_of_client
from idp.sessions.end import Actor, Ended, Targets, end_targets, lock_sessions, lock_users
from idp.settings import Settings

_PARTS_OF_CLIENT = select(SessionClient.id).where(
    is_listed(SessionClient.session_id, "named"),
    SessionClient.client_id == bindparam("client"),
    SessionClient.ended_at.is_(None),
)


def end_client_for_user(
    tx: Tx, *, user_id: str, client_id: str, reason: EndReason, actor: Actor, settings: Settings, now: datetime
) -> Ended:
    """End what one client has of one person: its app sessions as a whole, its participations in browser sessions.

    Locks the person first. Who locks a consent before must therefore have locked the person before that.
    """
    # No session's lock tells of an app session that is just starting: it is in no snapshot from before it is committed.
    lock_users(tx, [user_id])
    # Correlated, so that the person's few sessions are looked up and not all that a popular client takes part in.
    takes_part = exists().where(
        SessionClient.session_id == Session.id, SessionClient.client_id == client_id, SessionClient.ended_at.is_(None)
    )
    # A code not yet redeemed has no participation: its session is locked too, so that it can't be redeemed meanwhile.
    holds_code = exists().where(
        AuthorizationCode.session_id == Session.id,
        AuthorizationCode.client_id == client_id,
        AuthorizationCode.used_at.is_(None),
    )
    return end_of_client(
        tx,
        user_id=user_id,
        client_id=client_id,
        which=or_(Session.client_id == client_id, takes_part, holds_code),
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
    )


def end_participation(
    tx: Tx,
    *,
    user_id: str,
    session_id: str,
    client_id: str,
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
) -> Ended:
    """End one client's part in one session. An app session is nothing but its app, so it ends as a whole."""
    return end_of_client(
        tx,
        user_id=user_id,
        client_id=client_id,
        which=Session.id == session_id,
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
    )


def end_of_client(
    tx: Tx,
    *,
    user_id: str,
    client_id: str,
    which: ColumnElement[bool],
    reason: EndReason,
    actor: Actor,
    settings: Settings,
    now: datetime,
) -> Ended:
    """End what a client has in those of a person's sessions: its own as a whole, its parts and codes in the others."""
    locked = lock_sessions(tx, user_id, which)
    apps = [session for session in locked if session.client_id == client_id]
    goes_on = [session.id for session in locked if session.client_id != client_id]
    expire_codes_of_client(tx, goes_on, client_id)
    return end_targets(
        tx,
        user_id,
        Targets(apps, _find_parts(tx, goes_on, client_id)),
        reason=reason,
        actor=actor,
        settings=settings,
        now=now,
    )


def end_client_everywhere(
    tx: Tx, *, client_id: str, reason: EndReason, actor: Actor, settings: Settings, now: datetime, limit: int = 50
) -> int:
    """End what a client has of up to `limit` people; call again, each time in a new transaction, until it returns 0.

    The client was disabled first: that alone makes all of its tokens useless at once; this writes the ends down and
    tells the client, from the snapshot.
    """
    people = tx.scalars(
        select(people_of_client(client_id, now).subquery().c.user_id).order_by("user_id").limit(limit)
    ).all()
    lock_users(tx, people)
    for user_id in people:
        end_client_for_user(
            tx, user_id=user_id, client_id=client_id, reason=reason, actor=actor, settings=settings, now=now
        )
    return len(people)


def _find_parts(tx: Tx, session_ids: Sequence[str], client_id: str) -> list[str]:
    """The client's parts that have not ended in these sessions, which the caller has locked."""
    if not session_ids:
        return []
    return list(run(tx, _PARTS_OF_CLIENT, {"named": session_ids, "client": client_id}).scalars())
