"""What the account page shows: every browser, app and tool that is signed in as a person, and what ended lately.

The list is the truth (lesson 18): the same condition that decides a refresh decides what is listed. Keyset pages
over indexes and three statements, however many sessions there are (lesson 20).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, func, literal, select, tuple_, union_all
from sqlalchemy.orm import aliased

from idp.db.engine import Tx
from idp.db.models import Client, Session, SessionClient, SessionKind, TokenFamily
from idp.db.types import from_microseconds, micros, to_microseconds
from idp.kit.identifiers import is_identifier
from idp.kit.opaque import base64url, base64url_decode
from idp.sessions.policy import SessionPolicy, is_live

MAXIMUM_PREVIEWED_APPLICATIONS = 100


@dataclass(frozen=True)
class DeviceRow:
    """One live session. `applications` are the names of the clients that take part in it."""

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


@dataclass(frozen=True)
class EndedRow:
    """One ended session; `reason` is an `EndReason` value."""

    session_id: str
    kind: SessionKind
    device_name: str
    os_name: str
    agent_name: str
    client_name: str | None
    ip_address: str
    started_at: datetime
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


@dataclass(frozen=True)
class ApplicationPreview:
    """A client that takes part in what would end, and whether it can be told."""

    name: str
    can_be_told: bool


@dataclass(frozen=True)
class EndPreview:
    """What "sign out everywhere" would end."""

    browsers: int
    apps: int
    applications: tuple[ApplicationPreview, ...]


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
        select(Session, Client.name)
        .outerjoin(Client, Client.id == Session.client_id)
        .where(Session.id.in_(union_all(*(select(branch.subquery().c.id) for branch in branches))))
    ).all()
    live = [row for row in rows if row[0].ended_at is None]
    details = _details(tx, [session.id for session, _ in live])
    # In the order of the index that the cursors walk; families may have been used later than the row says.
    live.sort(key=lambda row: (row[0].last_active_at, row[0].id), reverse=True)
    listed = [_device_row(session, name, details, current_session_id) for session, name in live]
    browsers = [row for row in listed if row.kind is SessionKind.BROWSER]
    apps = [row for row in listed if row.kind is SessionKind.APP]
    ended = sorted(
        (row for row in rows if row[0].ended_at is not None), key=lambda row: (row[0].ended_at, row[0].id), reverse=True
    )
    counts = _count_live(tx, user_id, now, policy)
    moments = {session.id: session.last_active_at for session, _ in live}
    ended_page = [_ended_row(*row) for row in ended[:page_size]]
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


def preview_end_everything(
    tx: Tx, *, user_id: str, except_session_id: str | None, now: datetime, policy: SessionPolicy
) -> EndPreview:
    """What would end: counts, and each application once with whether it can be told. Two statements."""
    counts = _count_live(tx, user_id, now, policy, except_session_id=except_session_id)
    app = aliased(Client)
    applications = tx.execute(
        select(Client.name, Client.backchannel_logout_uri.is_not(None))
        .join(SessionClient, SessionClient.client_id == Client.id)
        .join(Session, Session.id == SessionClient.session_id)
        .outerjoin(app, app.id == Session.client_id)
        .where(
            Session.user_id == user_id,
            SessionClient.ended_at.is_(None),
            _other_than(except_session_id),
            is_live(now, policy, client=app),
        )
        .distinct()
        .order_by(Client.name)
        .limit(MAXIMUM_PREVIEWED_APPLICATIONS)
    )
    return EndPreview(
        browsers=counts.get(SessionKind.BROWSER, 0),
        apps=counts.get(SessionKind.APP, 0),
        applications=tuple(ApplicationPreview(name, bool(can_be_told)) for name, can_be_told in applications),
    )


def _other_than(session_id: str | None) -> Any:
    return Session.id != session_id if session_id else literal(True)


def _live_branch(
    user_id: str, kind: SessionKind, after: str | None, page_size: int, now: datetime, policy: SessionPolicy
) -> Select[Any]:
    app = aliased(Client)
    query = select(Session.id).where(Session.user_id == user_id, Session.kind == kind)
    if kind is SessionKind.APP:
        query = query.join(app, app.id == Session.client_id).where(is_live(now, policy, client=app))
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


def _details(tx: Tx, session_ids: list[str]) -> dict[str, tuple[tuple[str, ...], datetime | None]]:
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
        select(SessionClient.session_id, Client.name, used.c.used_at)
        .join(Client, Client.id == SessionClient.client_id)
        .outerjoin(used, used.c.session_client_id == SessionClient.id)
        .where(SessionClient.session_id.in_(session_ids), SessionClient.ended_at.is_(None))
        .order_by(Client.name)
    )
    details: dict[str, tuple[tuple[str, ...], datetime | None]] = {}
    for session_id, name, used_at in rows:
        names, latest = details.get(session_id, ((), None))
        latest = used_at if latest is None or (used_at is not None and used_at > latest) else latest
        details[session_id] = (names if name in names else (*names, name), latest)
    return details


def _count_live(
    tx: Tx, user_id: str, now: datetime, policy: SessionPolicy, *, except_session_id: str | None = None
) -> dict[SessionKind, int]:
    app = aliased(Client)
    rows = tx.execute(
        select(Session.kind, func.count())
        .outerjoin(app, app.id == Session.client_id)
        .where(Session.user_id == user_id, _other_than(except_session_id), is_live(now, policy, client=app))
        .group_by(Session.kind)
    )
    return {row[0]: row[1] for row in rows}


def _device_row(session: Session, client_name: str | None, details: Any, current_session_id: str | None) -> DeviceRow:
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
    )


def _ended_row(session: Session, client_name: str | None) -> EndedRow:
    assert session.ended_at is not None and session.end_reason is not None
    return EndedRow(
        session_id=session.id,
        kind=session.kind,
        device_name=session.device_name,
        os_name=session.os_name,
        agent_name=session.agent_name,
        client_name=client_name,
        ip_address=session.ip_address,
        started_at=session.started_at,
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
