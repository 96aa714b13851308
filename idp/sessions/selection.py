"""Ending several sessions by a choice: ticked ones, whole branches, everything that lies unused.

Each choice is a condition on `Session` that the preview counts by and the one path ends by; under the locks it is asked
again, so that what ended or was used meanwhile is left alone. A *branch* is a browser and the apps that it approved.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, literal, or_, select

from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.models import Client, EndReason, Session, SessionKind, TokenFamily
from idp.db.types import micros, to_microseconds
from idp.sessions.end import Actor, Ended, end_matching
from idp.sessions.policy import SessionPolicy, is_live
from idp.sessions.preview import everything_but
from idp.settings import Settings

_ONE, _APP = shared_alias(Session), shared_alias(Client)


def chosen(session_ids: Sequence[str], *, with_tools: bool, keep: str) -> ColumnElement[bool]:
    """SQL: the sessions with these ids, with `with_tools` also the apps that they approved; never the one to `keep`."""
    named = Session.id.in_(session_ids)
    return and_(everything_but(keep), or_(named, tools_of(session_ids)) if with_tools else named)


def tools_of(session_ids: Sequence[str]) -> ColumnElement[bool]:
    """SQL: the apps and tools that these browsers approved and that are not among the ids themselves."""
    if not session_ids:
        return literal(False)
    return and_(Session.kind == SessionKind.APP, Session.parent_id.in_(session_ids), Session.id.not_in(session_ids))


def unused_since(moment: datetime, *, keep: str) -> ColumnElement[bool]:
    """SQL: the sessions that nobody has used since: neither a page of ours nor, as the page shows it, a refresh."""
    used = exists().where(
        TokenFamily.session_id == Session.id, micros(TokenFamily.last_used_at) > to_microseconds(moment)
    )
    return and_(everything_but(keep), micros(Session.last_active_at) <= to_microseconds(moment), ~used)


def end_chosen(
    tx: Tx,
    *,
    user_id: str,
    which: ColumnElement[bool],
    actor: Actor,
    settings: Settings,
    policy: SessionPolicy,
    now: datetime,
) -> Ended:
    """End what a person has chosen on the account page; `which` is one of the conditions above.

    Only what is live: a session that expired already ends by the sweep, with its own reason.
    """
    live = (
        select(_ONE.id)
        .outerjoin(_APP, _APP.id == _ONE.client_id)
        .where(_ONE.user_id == user_id, is_live(now, policy, session=_ONE, client=_APP))
    )
    return end_matching(
        tx,
        user_id=user_id,
        which=and_(which, Session.id.in_(live)),
        reason=EndReason.ENDED_BY_PERSON,
        actor=actor,
        settings=settings,
        now=now,
    )
