"""One live session in full: which applications take part, what it approved, and the name that its person gave it.

Serves the account page's "only this application" and its names for tools. Another person's session is as unknown as one
that never was (I13).
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from idp import audit
from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.models import Client, Session, SessionClient, SessionKind, TokenFamily
from idp.kit.identifiers import is_identifier
from idp.kit.wording import is_storable
from idp.sessions.devices import ApprovedIn
from idp.sessions.ended import ApprovedApp, find_approved
from idp.sessions.part_lifetimes import is_part_live
from idp.sessions.policy import SessionPolicy, is_live
from idp.sessions.seen import SeenSession, seen_fields

MAXIMUM_LABEL = 60
MAXIMUM_APPLICATIONS = 100
_APP, _PARENT = shared_alias(Client), shared_alias(Session)
# Nothing that breaks a line or turns the direction of what follows.
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class UsedApplication:
    """An application that takes part in a session."""

    client_id: str
    name: str
    can_be_told: bool
    since: datetime


@dataclass(frozen=True)
class LiveSession(SeenSession):
    """One live session of a person. `approved` are the apps that it approved, for a browser."""

    applications: tuple[UsedApplication, ...]
    approved_in: ApprovedIn | None
    approved: tuple[ApprovedApp, ...]


def find_live_session(
    tx: Tx, *, user_id: str, session_id: str, now: datetime, policy: SessionPolicy
) -> LiveSession | None:
    """A live session of this person; None for ended, foreign and unknown ones. Four statements at most."""
    if not is_identifier(session_id):
        return None
    row = tx.execute(
        select(Session, _APP.name, _PARENT)
        .outerjoin(_APP, _APP.id == Session.client_id)
        .outerjoin(_PARENT, _PARENT.id == Session.parent_id)
        .where(Session.id == session_id, Session.user_id == user_id, is_live(now, policy, client=_APP))
    ).one_or_none()
    if row is None:
        return None
    session, client_name = row[0], row[1]
    approver: Session | None = row[2]
    used_at = tx.scalar(select(func.max(TokenFamily.last_used_at)).where(TokenFamily.session_id == session.id))
    return LiveSession(
        **seen_fields(session, client_name=client_name, used_at=used_at),
        applications=_applications(tx, session.id, now),
        approved_in=ApprovedIn(
            approver.id,
            approver.device_name,
            approver.os_name,
            approver.agent_name,
            is_over=approver.ended_at is not None,
        )
        if approver is not None
        else None,
        approved=find_approved(tx, session, now, policy) if session.kind is SessionKind.BROWSER else (),
    )


def rename_session(tx: Tx, *, user_id: str, session_id: str, label: str, now: datetime) -> bool:
    """Give a live app session of this person a name; an empty one takes it back. False: no such session, or no name.

    Names are one line of at most `MAXIMUM_LABEL` characters.
    """
    label = " ".join(label.split())
    if len(label) > MAXIMUM_LABEL or _UNWRITABLE.search(label) or not is_storable(label):
        return False
    renamed = tx.scalar(
        update(Session)
        .where(
            Session.id == session_id,
            Session.user_id == user_id,
            Session.kind == SessionKind.APP,
            Session.ended_at.is_(None),
        )
        .values(label=label)
        .returning(Session.id)
        .execution_options(synchronize_session=False)
    )
    if renamed is None:
        return False
    audit.record(
        tx,
        "session_renamed",
        now=now,
        user_id=user_id,
        session_id=session_id,
        actor="person",
        # Or the history would give every earlier renaming the name of today.
        details={"label": label},
    )
    return True


def _applications(tx: Tx, session_id: str, now: datetime) -> tuple[UsedApplication, ...]:
    rows = tx.execute(
        select(Client.id, Client.name, Client.backchannel_logout_uri.is_not(None), SessionClient.started_at)
        .join(SessionClient, SessionClient.client_id == Client.id)
        .join(Session, Session.id == SessionClient.session_id)
        .where(SessionClient.session_id == session_id, SessionClient.ended_at.is_(None), is_part_live(now))
        .order_by(Client.name, Client.id)
        .limit(MAXIMUM_APPLICATIONS)
    )
    return tuple(UsedApplication(row[0], row[1], bool(row[2]), row[3]) for row in rows)
