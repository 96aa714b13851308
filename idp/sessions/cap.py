"""How many copies of one app a person may be signed in with: with one more, the one unused longest goes out.

Without it, tools that sign in anew on every machine and in every build leave hundreds of live refresh tokens behind
(lesson 17). The end takes the one path, with a reason of its own, and the person is told by mail.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Select, String, bindparam, case, func, or_, select

from idp import mail
from idp.clients import ClientTerms
from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.models import Client, EndReason, Session, SessionKind, TokenFamily
from idp.db.once import run
from idp.db.types import micros, to_microseconds
from idp.policy import value_in_force
from idp.sessions.end import Actor, Ended, end_sessions, lock_sessions
from idp.sessions.policy import SessionPolicy, is_live
from idp.settings import Settings

_APP = shared_alias(Client)


def lock_surplus(
    tx: Tx, *, user_id: str, client: ClientTerms, parent_id: str, policy: SessionPolicy, now: datetime
) -> list[str]:
    """The sessions that must go so that one more of this client may start; empty while there is room. One statement.

    The caller holds the user's lock, so that no other can start meanwhile. When some must go, they and the parent are
    locked together, in the order of their ids: the parent alone first could meet an end that holds one of them.
    """
    asked = {
        "person": user_id,
        "client": client.id,
        "own_cap": client.app_sessions_per_client,
        "now": to_microseconds(now),
    }
    rows: Sequence[tuple[Any, ...]] = run(tx, _latest_first(policy), asked).all()
    surplus = [row[0] for row in rows[rows[0][1] - 1 :]] if rows else []
    if surplus:
        lock_sessions(tx, user_id, or_(Session.id.in_(surplus), Session.id == parent_id))
    return surplus


@lru_cache(maxsize=8)
def _latest_first(policy: SessionPolicy) -> Select[*tuple[Any, ...]]:
    cap = func.coalesce(
        bindparam("own_cap", type_=BigInteger()),
        value_in_force("app_sessions_per_client", policy.app_sessions_per_client),
    )
    used_at = (
        select(func.max(micros(TokenFamily.last_used_at))).where(TokenFamily.session_id == Session.id).scalar_subquery()
    )
    active_at = micros(Session.last_active_at)
    return (
        select(Session.id, cap)
        .join(_APP, _APP.id == Session.client_id)
        .where(
            Session.user_id == bindparam("person", type_=String()),
            Session.kind == SessionKind.APP,
            Session.client_id == bindparam("client", type_=String()),
            cap > 0,
            is_live(bindparam("now", type_=BigInteger()), policy, client=_APP),
        )
        .order_by(case((used_at > active_at, used_at), else_=active_at).desc(), Session.id.desc())
    )


def end_surplus(
    tx: Tx, *, user_id: str, client: ClientTerms, surplus: Sequence[str], settings: Settings, now: datetime
) -> Ended:
    """End what `lock_surplus` named, and write the person a message."""
    if not surplus:
        return Ended()
    ended = end_sessions(
        tx,
        user_id=user_id,
        session_ids=surplus,
        reason=EndReason.SESSION_CAP,
        actor=Actor(name="time", client_id=client.id),
        settings=settings,
        now=now,
    )
    if ended.apps:
        letter = mail.too_many_copies(client_name=client.name, count=ended.apps, now=now, settings=settings)
        mail.enqueue_mail(tx, user_id=user_id, letter=letter, settings=settings, now=now)
    return ended
