"""Writing down that a client's part in a browser session is over by the client's own lifetimes, and telling it so.

Such a part is dead for every check without this (`idp.sessions.part_lifetimes`); the one path makes its end visible.
The session goes on, and so does everybody else in it. Several workers may sweep side by side.
"""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import func, or_, select, update

from idp.clients import ClientTerms
from idp.db.engine import Tx
from idp.db.models import Client, EndReason, Session, SessionClient, SessionKind, TokenFamily
from idp.db.types import from_microseconds, micros
from idp.sessions.end import Actor, Targets, end_targets
from idp.sessions.part_lifetimes import computed_part_end, has_part_lifetimes, part_end
from idp.settings import Settings

_BY_TIME = Actor(name="time")


def sweep_parts(tx: Tx, *, now: datetime, settings: Settings, limit: int = 50) -> int:
    """Look at up to `limit` parts whose hint is due: end those that are over, move the hint of the others.

    Returns how many were looked at; the worker calls again, each time in a new transaction, until none was.
    """
    # The session's row before the part's, as everywhere; whoever holds it is busy with it, and we come again.
    due = tx.execute(
        select(SessionClient.id, Session.user_id)
        .join(Session, Session.id == SessionClient.session_id)
        .where(SessionClient.ended_at.is_(None), SessionClient.sweep_at <= now, Session.ended_at.is_(None))
        .order_by(SessionClient.sweep_at)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True, of=Session)
    ).all()
    owners = {row[0]: row[1] for row in due}
    over: dict[tuple[str, EndReason], list[str]] = defaultdict(list)
    for part, client, used_at in _read_again(tx, list(owners)):
        end = computed_part_end(client, started_at=part.started_at, used_at=used_at)
        if end is not None and end.at <= now:
            over[(owners[part.id], end.reason)].append(part.id)
        else:
            part.sweep_at = None if end is None else end.at
    tx.flush()
    for (user_id, reason), ids in over.items():
        targets = Targets((), ids)
        end_targets(tx, user_id, targets, reason=reason, actor=_BY_TIME, settings=settings, now=now)
    return len(due)


def end_overdue_part(
    tx: Tx, *, user_id: str, session_id: str, client: ClientTerms, settings: Settings, now: datetime
) -> None:
    """End the client's part in a locked browser session if its time is over, before the client joins it anew.

    What comes after gets a part of its own, with a `sid` of its own: the one before was or will be announced as ended.
    """
    if not has_part_lifetimes(client):
        return
    ids = tx.scalars(
        select(SessionClient.id).where(
            SessionClient.session_id == session_id,
            SessionClient.client_id == client.id,
            SessionClient.ended_at.is_(None),
        )
    ).all()
    for part, _, used_at in _read_again(tx, list(ids)):
        end = computed_part_end(client, started_at=part.started_at, used_at=used_at)
        if end is not None and end.at <= now:
            targets = Targets((), [part.id])
            end_targets(tx, user_id, targets, reason=end.reason, actor=_BY_TIME, settings=settings, now=now)


def tighten_part_hints(tx: Tx, *, after: str = "", limit: int = 1000) -> str | None:
    """Pull the hints of live parts forward to what their clients' lifetimes are today, `limit` behind `after` by id.

    Returns the id to go on behind, in a new transaction, or None at the end. Only parts of clients that have such
    lifetimes, and whose hint is missing or late, are looked at.
    """
    # Asked first: where nobody has such lifetimes, as by default, the parts are not walked through at all.
    limited = tx.scalars(
        select(Client.id).where(
            or_(Client.participation_idle_lifetime.is_not(None), Client.participation_absolute_lifetime.is_not(None))
        )
    ).all()
    if not limited:
        return None
    end = part_end()
    late = tx.execute(
        select(SessionClient.id, end)
        .join(Client, Client.id == SessionClient.client_id)
        .join(Session, Session.id == SessionClient.session_id)
        .where(
            SessionClient.id > after,
            SessionClient.ended_at.is_(None),
            Session.ended_at.is_(None),
            Session.kind == SessionKind.BROWSER,
            SessionClient.client_id.in_(limited),
            or_(SessionClient.sweep_at.is_(None), micros(SessionClient.sweep_at) > end),
        )
        .order_by(SessionClient.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True, of=SessionClient)
    ).all()
    # Null where the client was freed of its lifetimes a moment ago: then there is nothing to look at.
    hints = [{"id": row[0], "sweep_at": from_microseconds(row[1])} for row in late if row[1] is not None]
    if hints:
        tx.execute(update(SessionClient), hints)
    if not late:
        return None
    last: str = late[-1][0]
    return last


def _read_again(tx: Tx, ids: list[str]) -> list[tuple[SessionClient, Client, datetime | None]]:
    """These parts as far as they have not ended, by a statement after the lock; with their clients and latest use."""
    if not ids:
        return []
    used_at = (
        select(func.max(TokenFamily.last_used_at))
        .where(TokenFamily.session_client_id == SessionClient.id)
        .scalar_subquery()
    )
    rows = tx.execute(
        select(SessionClient, Client, used_at)
        .join(Client, Client.id == SessionClient.client_id)
        .where(SessionClient.id.in_(ids), SessionClient.ended_at.is_(None))
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1], row[2]) for row in rows]
