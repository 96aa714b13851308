"""What remains of a session after its end: who was told, and the tools that it had approved.

Serves the history on the account page (the receipt "in the person's history for 90 days", design §7). Reads only.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Dialect, and_, bindparam, select
from sqlalchemy.types import BigInteger, String

from idp.db.aliases import shared_alias
from idp.db.engine import SingleStatements, Tx
from idp.db.fixed import FixedStatement
from idp.db.models import Client, LogoutEvent, Session, SessionKind
from idp.db.types import to_microseconds
from idp.kit.identifiers import is_identifier
from idp.sessions.policy import SessionPolicy, is_live
from idp.sessions.receipt import HISTORY_LIFETIME, ReceiptApplication, find_applications
from idp.sessions.seen import SeenSession, seen_fields

MAXIMUM_APPROVED = 100
_TOOL, _APP = shared_alias(Session), shared_alias(Client)


@dataclass(frozen=True)
class ApprovedApp:
    """An app or tool that a browser session approved and that is still signed in."""

    session_id: str
    client_name: str
    device_name: str
    os_name: str
    label: str
    started_at: datetime
    last_active_at: datetime


class EndedName(NamedTuple):
    """What a person calls a session that ended, and whether tools that it approved are still signed in."""

    kind: SessionKind
    agent_name: str
    os_name: str
    device_name: str
    label: str
    client_name: str | None
    has_approved: bool


@dataclass(frozen=True)
class EndedDetails(SeenSession):
    """One ended session of a person. Notices are those about this session alone; `event_id` has the whole receipt."""

    ended_at: datetime
    reason: str
    applications: tuple[ReceiptApplication, ...]
    access_expires_at: datetime | None
    event_id: str | None
    approved: tuple[ApprovedApp, ...]


def find_ended(tx: Tx, *, user_id: str, session_id: str, now: datetime, policy: SessionPolicy) -> EndedDetails | None:
    """An ended session of this person, for 90 days after its end; None for live, foreign, unknown or older ones."""
    if not is_identifier(session_id):
        return None
    row = tx.execute(
        select(Session, Client.name, LogoutEvent.access_expires_at)
        .outerjoin(Client, Client.id == Session.client_id)
        .outerjoin(LogoutEvent, LogoutEvent.id == Session.logout_event_id)
        .where(Session.id == session_id, Session.user_id == user_id, Session.ended_at > now - HISTORY_LIFETIME)
    ).one_or_none()
    if row is None:
        return None
    session, client_name, access_expires_at = row
    if session.ended_at is None or session.end_reason is None:
        return None
    return EndedDetails(
        **seen_fields(session, client_name=client_name),
        ended_at=session.ended_at,
        reason=session.end_reason,
        applications=find_applications(tx, session.logout_event_id, session_id=session.id)
        if session.logout_event_id
        else (),
        access_expires_at=access_expires_at,
        event_id=session.logout_event_id,
        approved=find_approved(tx, session, now, policy) if session.kind is SessionKind.BROWSER else (),
    )


def name_ended(
    statements: SingleStatements, *, user_id: str, session_id: str, now: datetime, policy: SessionPolicy
) -> EndedName | None:
    """What to say of a session that this person has just ended, in one statement. None: it is not kept any more."""
    asked = {"session": session_id, "user": user_id, "now": to_microseconds(now)}
    found: EndedName | None = statements.one_or_none(_name_of_session(statements.dialect, policy), asked)
    return found


@lru_cache(maxsize=8)
def _name_of_session(dialect: Dialect, policy: SessionPolicy) -> FixedStatement:
    moment = bindparam("now", type_=BigInteger())
    approved = (
        select(_TOOL.id)
        .join(_APP, _APP.id == _TOOL.client_id)
        .where(_is_live_tool_of(Session, moment, policy, session=_TOOL, client=_APP))
        .correlate(Session)
    )
    statement = (
        select(Session)
        .outerjoin(Client, Client.id == Session.client_id)
        .where(Session.id == bindparam("session", type_=String()), Session.user_id == bindparam("user", type_=String()))
    )
    columns = (
        Session.kind,
        Session.agent_name,
        Session.os_name,
        Session.device_name,
        Session.label,
        Client.name.label("client_name"),
        approved.exists().label("has_approved"),
    )
    return FixedStatement(statement, columns, dialect, row=EndedName._make)


def find_approved(tx: Tx, parent: Session, now: datetime, policy: SessionPolicy) -> tuple[ApprovedApp, ...]:
    """The apps and tools that a browser session approved and that are signed in, at most `MAXIMUM_APPROVED`."""
    rows = tx.execute(
        select(Session, _APP.name)
        .join(_APP, _APP.id == Session.client_id)
        .where(_is_live_tool_of(parent, now, policy, session=Session, client=_APP))
        .order_by(Session.last_active_at.desc(), Session.id.desc())
        .limit(MAXIMUM_APPROVED)
    )
    return tuple(
        ApprovedApp(
            session_id=session.id,
            client_name=name,
            device_name=session.device_name,
            os_name=session.os_name,
            label=session.label,
            started_at=session.started_at,
            last_active_at=session.last_active_at,
        )
        for session, name in rows
    )


def _is_live_tool_of(
    parent: Any, now: datetime | ColumnElement[int], policy: SessionPolicy, *, session: Any, client: Any
) -> ColumnElement[bool]:
    """SQL: whether an app's session was approved in the browser session `parent`, a row or the table, and is live."""
    return and_(
        session.user_id == parent.user_id,
        session.parent_id == parent.id,
        session.kind == SessionKind.APP,
        is_live(now, policy, session=session, client=client),
    )
