"""Participations: which client took part in which session, under which `sid`.

Whoever calls these holds the session's row lock: a foreign key does not stop a session from ending between our check
and our insert, the lock does.
"""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Dialect, String, and_, bindparam, exists, insert, select

from idp.db.engine import SingleStatements, Tx
from idp.db.fixed import FixedStatement
from idp.db.models import Session, SessionClient, SessionKind
from idp.db.once import run
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import new_secret


class Participation(NamedTuple):
    """A client's live part in a session."""

    id: str
    sid: str


_PART = SessionClient.__table__.c
_COLUMNS = (_PART.id, _PART.session_id, _PART.client_id, _PART.sid, _PART.started_at, _PART.sweep_at)
_IS_LIVE_PART = and_(
    _PART.session_id == bindparam("in_session", type_=String()),
    _PART.client_id == bindparam("of_client", type_=String()),
    _PART.ended_at.is_(None),
)
_FIND_PART = select(_PART.id, _PART.sid).where(_IS_LIVE_PART)
# Nothing when there is one: under the session's lock none comes or goes meanwhile.
_ADD_PART = (
    insert(SessionClient)
    .from_select(
        [column.name for column in _COLUMNS],
        select(*(bindparam(f"new_{column.name}", type_=column.type) for column in _COLUMNS)).where(
            ~exists(select(_PART.id).where(_IS_LIVE_PART))
        ),
    )
    .returning(_PART.id)
)


def join(tx: Tx, *, session_id: str, client_id: str, now: datetime, sweep_at: datetime | None = None) -> Participation:
    """The client's live participation in a live, locked session; a new one with a new `sid` if there is none.

    An ended participation is never revived: its `sid` was announced as logged out (Back-Channel Logout §2.6), and an
    RP that remembers it would refuse the new session. `sweep_at`: when a new one may be over before its session.
    """
    part = {"in_session": session_id, "of_client": client_id}
    new = Participation(
        new_identifier(shard_key_in(session_id), now),
        new_secret(128).reveal(),  # random and of its own: two RPs can't match people by it
    )
    added = run(
        tx,
        _ADD_PART,
        {
            **part,
            "new_id": new.id,
            "new_session_id": session_id,
            "new_client_id": client_id,
            "new_sid": new.sid,
            "new_started_at": now,
            "new_sweep_at": sweep_at,
        },
    ).one_or_none()
    return new if added is not None else Participation._make(run(tx, _FIND_PART, part).one())


class SidOwner(NamedTuple):
    """The participation behind a `sid`, and the session it is part of; either may be over."""

    session_id: str
    user_id: str
    client_id: str
    kind: SessionKind
    parent_id: str | None


def find_sid(statements: SingleStatements, sid: str) -> SidOwner | None:
    """Whose `sid` this is. A `sid` is public and proves nothing: compare the answer with the cookie's session."""
    found: SidOwner | None = statements.one_or_none(_owner_of_sid(statements.dialect), {"sid": sid})
    return found


@lru_cache(maxsize=2)
def _owner_of_sid(dialect: Dialect) -> FixedStatement:
    statement = (
        select(SessionClient)
        .join(Session, Session.id == SessionClient.session_id)
        .where(SessionClient.sid == bindparam("sid", type_=String()))
    )
    columns = (Session.id, Session.user_id, SessionClient.client_id, Session.kind, Session.parent_id)
    return FixedStatement(statement, columns, dialect, row=SidOwner._make)
