"""What ends together with sessions: clients' parts in them, the mark on token families, unredeemed codes.

Only for the one path (`idp.sessions.end`) and those that come to it: in their transaction, under their session locks.
The statements are written once, for whole sessions and for single parts of clients.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, Update, bindparam, func, select, update

from idp import outbox
from idp.db.engine import Tx
from idp.db.listed import is_listed
from idp.db.models import AuthorizationCode, EndReason, SessionClient, TokenFamily
from idp.db.once import run

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class _Statements(NamedTuple):
    end_participations: Update
    mark_families: Update
    last_access: Select[datetime]


class Named(NamedTuple):
    """What ends: all that hangs on sessions (`of_sessions`), or single parts (`of_parts`)."""

    statements: _Statements
    ids: Sequence[str]


def _about(participations: ColumnElement[bool], families: ColumnElement[bool]) -> _Statements:
    return _Statements(
        update(SessionClient)
        .where(participations, SessionClient.ended_at.is_(None))
        .values(ended_at=bindparam("now"), end_reason=bindparam("why"))
        .returning(SessionClient.session_id, SessionClient.client_id, SessionClient.sid),
        update(TokenFamily)
        .where(families, TokenFamily.revoked_at.is_(None))
        .values(revoked_at=bindparam("now"), revoke_reason=bindparam("why")),
        select(func.max(TokenFamily.access_expires_at)).where(
            families, TokenFamily.access_expires_at > bindparam("now")
        ),
    )


_OF_SESSIONS = _about(is_listed(SessionClient.session_id, "named"), is_listed(TokenFamily.session_id, "named"))
_OF_PARTS = _about(is_listed(SessionClient.id, "named"), is_listed(TokenFamily.session_client_id, "named"))
# To a moment that is past on every node: one whose clock is behind ours would still honour a code that ended "now".
_EXPIRE_CODES = (
    update(AuthorizationCode)
    .where(
        is_listed(AuthorizationCode.session_id, "named"),
        AuthorizationCode.used_at.is_(None),
        AuthorizationCode.expires_at > LONG_AGO,
    )
    .values(expires_at=LONG_AGO)
)
_EXPIRE_CODES_OF_CLIENT = _EXPIRE_CODES.where(AuthorizationCode.client_id == bindparam("client"))


def of_sessions(session_ids: Sequence[str]) -> Named:
    """All that hangs on these sessions."""
    return Named(_OF_SESSIONS, session_ids)


def of_parts(participation_ids: Sequence[str]) -> Named:
    """These parts of clients, in sessions that go on."""
    return Named(_OF_PARTS, participation_ids)


def end_participations(tx: Tx, named: Named, *, reason: EndReason, now: datetime) -> list[outbox.EndedParticipation]:
    """End those that have not ended. Returns whom to tell."""
    rows = run(tx, named.statements.end_participations, {"named": named.ids, "why": reason, "now": now}).all()
    return [outbox.EndedParticipation._make(row) for row in rows]


def mark_families(tx: Tx, named: Named, *, reason: EndReason, now: datetime) -> datetime | None:
    """Mark every family, then read when the last access token dies; None when none is alive.

    The mark is a lock point, not the truth: a refresh already in flight has the row, so this UPDATE waits for it, and
    the read below sees the `access_expires_at` it handed out; a later refresh finds the mark when it re-checks its row.
    Without it, READ COMMITTED would let a waiting refresh check only its own row and not the ended session
    (docs/adr/0002). Revoked families count too: their access tokens may still be out there.
    """
    run(tx, named.statements.mark_families, {"named": named.ids, "why": reason, "now": now})
    last: datetime | None = run(tx, named.statements.last_access, {"named": named.ids, "now": now}).scalar_one()
    return last


def expire_codes(tx: Tx, session_ids: Sequence[str]) -> None:
    """Make the unredeemed codes of these sessions worthless."""
    run(tx, _EXPIRE_CODES, {"named": session_ids})


def expire_codes_of_client(tx: Tx, session_ids: Sequence[str], client_id: str) -> None:
    """Make one client's unredeemed codes in these sessions worthless, which go on."""
    if session_ids:
        run(tx, _EXPIRE_CODES_OF_CLIENT, {"named": session_ids, "client": client_id})
