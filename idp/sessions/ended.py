"""What remains of a session after its end: who was told, and the tools that it had approved.

Serves the history on the account page (the receipt "in the person's history for 90 days", design §7). Reads only.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.orm import aliased

from idp.db.engine import Tx
from idp.db.models import Client, LogoutDelivery, LogoutEvent, Session, SessionKind
from idp.kit.identifiers import is_identifier
from idp.sessions.policy import SessionPolicy, is_live
from idp.sessions.receipt import HISTORY_LIFETIME, ReceiptApplication, find_applications

MAXIMUM_APPROVED = 100


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


@dataclass(frozen=True)
class EndedDetails:
    """One ended session of a person. Notices are those about this session alone; `event_id` has the whole receipt."""

    session_id: str
    kind: SessionKind
    device_name: str
    os_name: str
    agent_name: str
    label: str
    client_name: str | None
    ip_address: str
    started_at: datetime
    last_active_at: datetime
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
        session_id=session.id,
        kind=session.kind,
        device_name=session.device_name,
        os_name=session.os_name,
        agent_name=session.agent_name,
        label=session.label,
        client_name=client_name,
        ip_address=session.ip_address,
        started_at=session.started_at,
        last_active_at=session.last_active_at,
        ended_at=session.ended_at,
        reason=session.end_reason,
        applications=find_applications(
            tx,
            and_(LogoutDelivery.session_id == session.id, LogoutDelivery.event_id == session.logout_event_id),
        ),
        access_expires_at=access_expires_at,
        event_id=session.logout_event_id,
        approved=find_approved(tx, session, now, policy) if session.kind is SessionKind.BROWSER else (),
    )


def find_approved(tx: Tx, parent: Session, now: datetime, policy: SessionPolicy) -> tuple[ApprovedApp, ...]:
    """The apps and tools that a browser session approved and that are signed in, at most `MAXIMUM_APPROVED`."""
    app = aliased(Client)
    rows = tx.execute(
        select(Session, app.name)
        .join(app, app.id == Session.client_id)
        .where(
            Session.user_id == parent.user_id,
            Session.parent_id == parent.id,
            Session.kind == SessionKind.APP,
            is_live(now, policy, client=app),
        )
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
