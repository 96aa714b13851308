"""Participations: which client took part in which session, under which `sid`.

Whoever calls these holds the session's row lock: a foreign key does not stop a session from ending between our check
and our insert, the lock does.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.db.engine import Tx
from idp.db.models import Session, SessionClient, SessionKind
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import new_secret


def join(tx: Tx, *, session_id: str, client_id: str, now: datetime, sweep_at: datetime | None = None) -> SessionClient:
    """The client's live participation in a live, locked session; a new one with a new `sid` if there is none.

    An ended participation is never revived: its `sid` was announced as logged out (Back-Channel Logout §2.6), and an
    RP that remembers it would refuse the new session. `sweep_at`: when a new one may be over before its session.
    """
    participation = tx.scalars(
        select(SessionClient).where(
            SessionClient.session_id == session_id,
            SessionClient.client_id == client_id,
            SessionClient.ended_at.is_(None),
        )
    ).one_or_none()
    if participation is not None:
        return participation
    participation = SessionClient(
        id=new_identifier(shard_key_in(session_id), now),
        session_id=session_id,
        client_id=client_id,
        sid=new_secret(128).reveal(),  # random and of its own: two RPs can't match people by it
        started_at=now,
        sweep_at=sweep_at,
    )
    tx.add(participation)
    tx.flush()
    return participation


@dataclass(frozen=True)
class SidOwner:
    """The participation behind a `sid`, and the session it is part of; either may be over."""

    session_id: str
    user_id: str
    client_id: str
    kind: SessionKind
    parent_id: str | None


def find_sid(tx: Tx, sid: str) -> SidOwner | None:
    """Whose `sid` this is. A `sid` is public and proves nothing: compare the answer with the cookie's session."""
    row = tx.execute(
        select(Session.id, Session.user_id, SessionClient.client_id, Session.kind, Session.parent_id)
        .join(Session, Session.id == SessionClient.session_id)
        .where(SessionClient.sid == sid)
    ).one_or_none()
    return SidOwner(*row) if row else None
