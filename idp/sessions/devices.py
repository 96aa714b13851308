"""What the account page shows: every browser, app and tool that is signed in as a person, and what ended lately.

The list is the truth (lesson 18): the same condition that decides a refresh decides what is listed. Keyset pages
over indexes and three statements, however many sessions there are (lesson 20).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, String, bindparam, case, func, select, tuple_, union_all

from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.listed import is_listed
from idp.db.models import Client, Session, SessionClient, SessionKind, TokenFamily
from idp.db.once import run
from idp.db.types import from_microseconds, micros, to_microseconds
from idp.kit.identifiers import is_identifier
from idp.kit.opaque import base64url, base64url_decode
from idp.sessions.part_lifetimes import is_part_live
from idp.sessions.policy import SessionPolicy, is_live
from idp.sessions.seen import SeenSession, seen_fields

# Made once: an alias costs SQLAlchemy milliseconds.
_APP, _PARENT = shared_alias(Client), shared_alias(Session)

_COLUMNS = (
    Session.id,
    Session.kind,
    Session.device_name,
    Session.os_name,
    Session.agent_name,
    Session.label,
    Session.ip_address,
    Session.started_at,
    Session.last_active_at,
    Session.keep_signed_in,
    Session.parent_id,
    Session.ended_at,
    Session.end_reason,
    Client.name.label("client_name"),
    _PARENT.id.label("approver_id"),
    _PARENT.device_name.label("approver_device_name"),
    _PARENT.os_name.label("approver_os_name"),
    _PARENT.agent_name.label("approver_agent_name"),
    _PARENT.ended_at.label("approver_ended_at"),
)
_USED = (
    select(TokenFamily.session_client_id, func.max(TokenFamily.last_used_at).label("used_at"))
    .where(is_listed(TokenFamily.session_id, "named"))
    .group_by(TokenFamily.session_client_id)
    .subquery()
)
_DETAILS = (
    select(
        SessionClient.session_id,
        Client.name,
        _USED.c.used_at,
        is_part_live(bindparam("now", type_=BigInteger())).label("takes_part"),
    )
    .join(Client, Client.id == SessionClient.client_id)
    .join(Session, Session.id == SessionClient.session_id)
    .outerjoin(_USED, _USED.c.session_client_id == SessionClient.id)
    .where(is_listed(SessionClient.session_id, "named"), SessionClient.ended_at.is_(None))
    .order_by(Client.name)
)


@dataclass(frozen=True)
class DeviceRow(SeenSession):
    """One live session. `applications` are the names of the clients that take part in it.

    `approved_in` is for apps; `approved_apps` counts the live apps that a browser approved.
    """

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
class EndedRow(SeenSession):
    """One ended session; `reason` is an `EndReason` value."""

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
    cursors = tuple(_read_cursor(after) for after in (browsers_after, apps_after, ended_after))
    rows = run(
        tx,
        _rows(policy, page_size, tuple(cursor is not None for cursor in cursors)),
        _values_of(cursors) | {"user": user_id, "now": to_microseconds(now)},
    ).all()
    live = [row for row in rows if row.ended_at is None]
    details = _details(tx, [row.id for row in live], now)
    browser_ids = [row.id for row in live if row.kind is SessionKind.BROWSER]
    counts, approved = _count_live(tx, user_id, now, policy, browser_ids)
    # In the order of the index that the cursors walk; families may have been used later than the row says.
    live.sort(key=lambda row: (row.last_active_at, row.id), reverse=True)
    listed = [_device_row(row, details, approved, current_session_id) for row in live]
    browsers = [row for row in listed if row.kind is SessionKind.BROWSER]
    apps = [row for row in listed if row.kind is SessionKind.APP]
    ended = sorted(
        (row for row in rows if row.ended_at is not None), key=lambda row: (row.ended_at, row.id), reverse=True
    )
    moments = {row.id: row.last_active_at for row in live}
    ended_page = [_ended_row(row) for row in ended[:page_size]]
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


@lru_cache(maxsize=32)
def _rows(policy: SessionPolicy, page_size: int, has_cursors: tuple[bool, ...]) -> Select[*tuple[Any, ...]]:
    mine, now = select(Session.id).where(Session.user_id == bindparam("user")), bindparam("now", type_=BigInteger())
    browsers = mine.where(Session.kind == SessionKind.BROWSER, is_live(now, policy))
    apps = mine.join(_APP, _APP.id == Session.client_id).where(
        Session.kind == SessionKind.APP, is_live(now, policy, client=_APP)
    )
    ended = mine.where(Session.ended_at.is_not(None))
    ordered = ((browsers, Session.last_active_at), (apps, Session.last_active_at), (ended, Session.ended_at))
    # Each branch has its own ORDER BY and LIMIT, so each must be a subquery of its own (SQLite's grammar).
    pages = [
        _page(query, moment, branch if has_cursors[branch] else None, page_size).subquery()
        for branch, (query, moment) in enumerate(ordered)
    ]
    return (
        select(*_COLUMNS)
        .select_from(Session)
        .outerjoin(Client, Client.id == Session.client_id)
        .outerjoin(_PARENT, _PARENT.id == Session.parent_id)
        .where(Session.id.in_(union_all(*(select(page.c.id) for page in pages))))
    )


def _page(query: Select[Any], moment: Any, cursor: int | None, page_size: int) -> Select[Any]:
    if cursor is not None:
        behind = (bindparam(f"moment_{cursor}", type_=BigInteger()), bindparam(f"id_{cursor}", type_=String()))
        query = query.where(tuple_(micros(moment), Session.id) < tuple_(*behind))
    return query.order_by(moment.desc(), Session.id.desc()).limit(page_size + 1)


def _values_of(cursors: Sequence[_Cursor | None]) -> dict[str, object]:
    values: dict[str, object] = {}
    for branch, cursor in enumerate(cursors):
        if cursor is not None:
            values |= {f"moment_{branch}": cursor.moment, f"id_{branch}": cursor.id}
    return values


def _details(tx: Tx, session_ids: list[str], now: datetime) -> dict[str, tuple[tuple[str, ...], datetime | None]]:
    """Per session: names of the applications that take part, and the latest refresh."""
    if not session_ids:
        return {}
    rows = run(tx, _DETAILS, {"named": session_ids, "now": to_microseconds(now)})
    names: dict[str, dict[str, None]] = defaultdict(dict)  # each once, in their order: a browser may have a thousand
    latest: dict[str, datetime] = {}
    for row in rows:
        of_session = names[row.session_id]
        if row.takes_part:
            of_session[row.name] = None
        if row.used_at is not None:
            latest[row.session_id] = max(row.used_at, latest.get(row.session_id, row.used_at))
    return {session_id: (tuple(found), latest.get(session_id)) for session_id, found in names.items()}


def _count_live(
    tx: Tx, user_id: str, now: datetime, policy: SessionPolicy, browser_ids: list[str]
) -> tuple[dict[SessionKind, int], dict[str, int]]:
    """How many of each kind are live, and how many of the apps each of these browsers approved."""
    asked = {"user": user_id, "now": to_microseconds(now), "browsers": browser_ids}
    counts: dict[SessionKind, int] = {}
    approved: dict[str, int] = {}
    for row in run(tx, _counts(policy), asked):
        counts[row.kind] = counts.get(row.kind, 0) + row.sessions
        if row.branch is not None:
            approved[row.branch] = row.sessions
    return counts, approved


@lru_cache(maxsize=8)
def _counts(policy: SessionPolicy) -> Select[*tuple[Any, ...]]:
    branch = case((is_listed(Session.parent_id, "browsers"), Session.parent_id), else_=None).label("branch")
    return (
        select(Session.kind, branch, func.count().label("sessions"))
        .outerjoin(_APP, _APP.id == Session.client_id)
        .where(
            Session.user_id == bindparam("user"),
            is_live(bindparam("now", type_=BigInteger()), policy, client=_APP),
        )
        .group_by(Session.kind, branch)
    )


def _device_row(row: Any, details: Any, approved: dict[str, int], current_session_id: str | None) -> DeviceRow:
    applications, used_at = details.get(row.id, ((), None))
    return DeviceRow(
        **seen_fields(row, client_name=row.client_name, used_at=used_at),
        keep_signed_in=row.keep_signed_in,
        is_current=row.id == current_session_id,
        applications=applications,
        parent_id=row.parent_id,
        approved_in=ApprovedIn(
            row.approver_id,
            row.approver_device_name,
            row.approver_os_name,
            row.approver_agent_name,
            is_over=row.approver_ended_at is not None,
        )
        if row.approver_id
        else None,
        approved_apps=approved.get(row.id, 0),
    )


def _ended_row(row: Any) -> EndedRow:
    return EndedRow(
        **seen_fields(row, client_name=row.client_name),
        ended_at=row.ended_at,
        reason=row.end_reason,
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
