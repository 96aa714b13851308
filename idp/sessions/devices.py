"""What the account page shows: every browser, app and tool that is signed in as a person, and what ended lately.

The list is the truth (lesson 18): the same condition that decides a refresh decides what is listed. Keyset pages
over indexes and three statements, however many sessions there are (lesson 20).
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, case, func, literal, select, tuple_, union_all

from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.models import Client, Session, SessionClient, SessionKind, TokenFamily
from idp.db.types import from_microseconds, micros, to_microseconds
from idp.kit.identifiers import is_identifier
from idp.kit.opaque import base64url, base64url_decode
from idp.sessions.part_lifetimes import is_part_live
from idp.sessions.policy import SessionPolicy, is_live

# Made once: an alias costs SQLAlchemy milliseconds.
_APP, _PARENT = shared_alias(Client), shared_alias(Session)


@dataclass(frozen=True)
class DeviceRow:
    """One live session. `applications` are the names of the clients that take part in it.

    `approved_in` is for apps; `approved_apps` counts the live apps that a browser approved.
    """

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
    keep_signed_in: bool
    is_current: bool
    applications: tuple[str, ...]
    parent_id: str | None
    approved_in: "ApprovedIn | None" = None
    approved_apps: int = 0


@dataclass(frozen=True)
class ApprovedIn:
    """The browser session in which an app or tool was approved; it may be over."""

    session_id: str
    device_name: str
    os_name: str
    agent_name: str
    is_over: bool


@dataclass(frozen=True)
class EndedRow:
    """One ended session; `reason` is an `EndReason` value."""

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


@dataclass(frozen=True)
class DevicesPage:
    """One page of each list. The `next_…` cursors are opaque, None on the last page."""

    browsers: list[DeviceRow]
    apps: list[DeviceRow]
    recently_ended: list[EndedRow]
    browser_count: int
    app_count: int
    next_browsers: str | None
    next_apps: str | None
    next_ended: str | None


class _Cursor(NamedTuple):
    moment: int
    id: str


def list_devices(
    tx: Tx,
    *,
    user_id: str,
    current_session_id: str | None,
    now: datetime,
    policy: SessionPolicy,
    page_size: int = 20,
    browsers_after: str | None = None,
    apps_after: str | None = None,
    ended_after: str | None = None,
) -> DevicesPage:
    """The page of a person's sessions behind the given cursors (unreadable ones count as none). Three statements."""
    branches = [
        _live_branch(user_id, SessionKind.BROWSER, browsers_after, page_size, now, policy),
        _live_branch(user_id, SessionKind.APP, apps_after, page_size, now, policy),
        _ended_branch(user_id, ended_after, page_size),
    ]
    # Each branch has its own ORDER BY and LIMIT, so each must be a subquery of its own (SQLite's grammar).
    rows = tx.execute(
        select(
            Session, Client.name, _PARENT.id, _PARENT.device_name, _PARENT.os_name, _PARENT.agent_name, _PARENT.ended_at
        )
        .outerjoin(Client, Client.id == Session.client_id)
        .outerjoin(_PARENT, _PARENT.id == Session.parent_id)
        .where(Session.id.in_(union_all(*(select(branch.subquery().c.id) for branch in branches))))
    ).all()
    live = [row for row in rows if row[0].ended_at is None]
    details = _details(tx, [row[0].id for row in live], now)
    counts, approved = _count_live(
        tx, user_id, now, policy, [row[0].id for row in live if row[0].kind is SessionKind.BROWSER]
    )
    # In the order of the index that the cursors walk; families may have been used later than the row says.
    live.sort(key=lambda row: (row[0].last_active_at, row[0].id), reverse=True)
    listed = [_device_row(row, details, approved, current_session_id) for row in live]
    browsers = [row for row in listed if row.kind is SessionKind.BROWSER]
    apps = [row for row in listed if row.kind is SessionKind.APP]
    ended = sorted(
        (row for row in rows if row[0].ended_at is not None), key=lambda row: (row[0].ended_at, row[0].id), reverse=True
    )
    moments = {row[0].id: row[0].last_active_at for row in live}
    ended_page = [_ended_row(row[0], row[1]) for row in ended[:page_size]]
    return DevicesPage(
        browsers=browsers[:page_size],
        apps=apps[:page_size],
        recently_ended=ended_page,
        browser_count=counts.get(SessionKind.BROWSER, 0),
        app_count=counts.get(SessionKind.APP, 0),
        next_browsers=_next_live(browsers, page_size, moments),
        next_apps=_next_live(apps, page_size, moments),
        next_ended=_write_cursor(ended_page[-1].ended_at, ended_page[-1].session_id)
        if len(ended) > page_size
        else None,
    )


def _live_branch(
    user_id: str, kind: SessionKind, after: str | None, page_size: int, now: datetime, policy: SessionPolicy
) -> Select[Any]:
    query = select(Session.id).where(Session.user_id == user_id, Session.kind == kind)
    if kind is SessionKind.APP:
        query = query.join(_APP, _APP.id == Session.client_id).where(is_live(now, policy, client=_APP))
    else:
        query = query.where(is_live(now, policy))
    return _page(query, Session.last_active_at, after, page_size)


def _ended_branch(user_id: str, after: str | None, page_size: int) -> Select[Any]:
    query = select(Session.id).where(Session.user_id == user_id, Session.ended_at.is_not(None))
    return _page(query, Session.ended_at, after, page_size)


def _page(query: Select[Any], moment: Any, after: str | None, page_size: int) -> Select[Any]:
    cursor = _read_cursor(after)
    if cursor is not None:
        query = query.where(tuple_(micros(moment), Session.id) < tuple_(literal(cursor.moment), literal(cursor.id)))
    return query.order_by(moment.desc(), Session.id.desc()).limit(page_size + 1)


def _details(tx: Tx, session_ids: list[str], now: datetime) -> dict[str, tuple[tuple[str, ...], datetime | None]]:
    """Per session: names of the applications that take part, and the latest refresh."""
    if not session_ids:
        return {}
    used = (
        select(TokenFamily.session_client_id, func.max(TokenFamily.last_used_at).label("used_at"))
        .where(TokenFamily.session_id.in_(session_ids))
        .group_by(TokenFamily.session_client_id)
        .subquery()
    )
    rows = tx.execute(
        select(SessionClient.session_id, Client.name, used.c.used_at, is_part_live(now))
        .join(Client, Client.id == SessionClient.client_id)
        .join(Session, Session.id == SessionClient.session_id)
        .outerjoin(used, used.c.session_client_id == SessionClient.id)
        .where(SessionClient.session_id.in_(session_ids), SessionClient.ended_at.is_(None))
        .order_by(Client.name)
    )
    names: dict[str, dict[str, None]] = defaultdict(dict)  # each once, in their order: a browser may have a thousand
    latest: dict[str, datetime] = {}
    for session_id, name, used_at, takes_part in rows:
        of_session = names[session_id]
        if takes_part:
            of_session[name] = None
        if used_at is not None:
            latest[session_id] = max(used_at, latest.get(session_id, used_at))
    return {session_id: (tuple(found), latest.get(session_id)) for session_id, found in names.items()}


def _count_live(
    tx: Tx, user_id: str, now: datetime, policy: SessionPolicy, browser_ids: list[str]
) -> tuple[dict[SessionKind, int], dict[str, int]]:
    """How many of each kind are live, and how many of the apps each of these browsers approved."""
    branch = case((Session.parent_id.in_(browser_ids), Session.parent_id), else_=None).label("branch")
    rows = tx.execute(
        select(Session.kind, branch, func.count())
        .outerjoin(_APP, _APP.id == Session.client_id)
        .where(Session.user_id == user_id, is_live(now, policy, client=_APP))
        .group_by(Session.kind, branch)
    )
    counts: dict[SessionKind, int] = {}
    approved: dict[str, int] = {}
    for kind, parent_id, count in rows:
        counts[kind] = counts.get(kind, 0) + count
        if parent_id is not None:
            approved[parent_id] = count
    return counts, approved


def _device_row(row: Any, details: Any, approved: dict[str, int], current_session_id: str | None) -> DeviceRow:
    session, client_name, parent_id, device_name, os_name, agent_name, parent_ended_at = row
    applications, used_at = details.get(session.id, ((), None))
    return DeviceRow(
        session_id=session.id,
        kind=session.kind,
        device_name=session.device_name,
        os_name=session.os_name,
        agent_name=session.agent_name,
        label=session.label,
        client_name=client_name,
        ip_address=session.ip_address,
        started_at=session.started_at,
        last_active_at=max(session.last_active_at, used_at or session.last_active_at),
        keep_signed_in=session.keep_signed_in,
        is_current=session.id == current_session_id,
        applications=applications,
        parent_id=session.parent_id,
        approved_in=ApprovedIn(parent_id, device_name, os_name, agent_name, is_over=parent_ended_at is not None)
        if parent_id
        else None,
        approved_apps=approved.get(session.id, 0),
    )


def _ended_row(session: Session, client_name: str | None) -> EndedRow:
    assert session.ended_at is not None and session.end_reason is not None
    return EndedRow(
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
    )


def _next_live(rows: list[DeviceRow], page_size: int, moments: dict[str, datetime]) -> str | None:
    if len(rows) <= page_size:
        return None
    last = rows[page_size - 1].session_id
    return _write_cursor(moments[last], last)


def _write_cursor(moment: datetime, session_id: str) -> str:
    return base64url(f"{to_microseconds(moment)}:{session_id}".encode())


def _read_cursor(text: str | None) -> _Cursor | None:
    if not text or len(text) > 100:
        return None
    try:
        moment, _, session_id = base64url_decode(text).decode("ascii").partition(":")
        if not moment.isdecimal() or len(moment) > 18 or not is_identifier(session_id):
            return None
        from_microseconds(int(moment))
    except (ValueError, OverflowError):
        return None
    return _Cursor(int(moment), session_id)
