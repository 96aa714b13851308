"""A person's own part of the trail, for /account/activity: pages of it, searched, never anybody else's. Reads only.

Keyset pages over one index. A search reads at most `SCAN` rows of the trail per page and says how far it came, so that
its price is bounded however long the history is and however rare what is looked for (lesson 20).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Subquery, literal, or_, select, tuple_

from idp.db.engine import Tx
from idp.db.models import AuditEvent, Client, Session, SessionKind
from idp.db.types import from_microseconds, micros, to_microseconds
from idp.kit.identifiers import is_identifier
from idp.kit.opaque import base64url, base64url_decode

SCAN = 10_000
MAXIMUM_TEXT = 100


class Place(NamedTuple):
    """Where a page ended: the moment in microseconds, and the row."""

    moment: int
    id: str


@dataclass(frozen=True)
class HistoryRow:
    """One row of the trail with what is still known of its session and application (empty when it is purged)."""

    id: str
    occurred_at: datetime
    kind: str
    actor: str
    ip_address: str
    details: dict[str, Any]
    client_name: str | None
    session_id: str | None
    session_kind: SessionKind | None
    agent_name: str
    os_name: str
    device_name: str
    label: str
    app_name: str | None
    started_at: datetime | None
    last_active_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class HistoryPage:
    """Rows, the newest first. `older`: where to go on, None at the end; `searched_to`: how far a search came."""

    rows: tuple[HistoryRow, ...]
    older: Place | None
    searched_to: datetime | None = None


def find_history(
    tx: Tx,
    *,
    user_id: str,
    since: datetime,
    kinds: Collection[str],
    text: str = "",
    after: Place | None = None,
    limit: int = 50,
    scan: int = SCAN,
) -> HistoryPage:
    """A page of what this person's trail says since a moment: rows of these kinds that contain `text`.

    `text` is looked for in application, device, label, browser, system and IP address, without regard to ASCII case;
    it is plain text, no pattern. One statement, two when fewer rows were found than fit.
    """
    trail = _trail(user_id, since, after, scan)
    app = Client.__table__.alias("app")
    query = (
        select(
            trail,
            Client.name.label("client_name"),
            Session.kind.label("session_kind"),
            Session.agent_name,
            Session.os_name,
            Session.device_name,
            Session.label,
            app.c.name.label("app_name"),
            Session.started_at,
            Session.last_active_at,
            Session.ended_at,
        )
        .outerjoin(Client, Client.id == trail.c.client_id)
        # The person again: a row of the trail must never open another person's session, whatever wrote it.
        .outerjoin(Session, (Session.id == trail.c.session_id) & (Session.user_id == user_id))
        .outerjoin(app, app.c.id == Session.client_id)
        .where(trail.c.kind.in_(sorted(kinds)))
        .order_by(trail.c.occurred_at.desc(), trail.c.id.desc())
        .limit(limit + 1)
    )
    if text:
        query = query.where(_contains(text[:MAXIMUM_TEXT], trail, app))
    rows = [_row(found) for found in tx.execute(query).mappings()]
    if len(rows) > limit:
        last = rows[limit - 1]
        return HistoryPage(tuple(rows[:limit]), Place(to_microseconds(last.occurred_at), last.id))
    last_read = tx.execute(
        select(trail.c.occurred_at, trail.c.id).order_by(*_newest_first(trail)).offset(scan - 1)
    ).first()
    if last_read is None:
        return HistoryPage(tuple(rows), None)
    return HistoryPage(tuple(rows), Place(to_microseconds(last_read.occurred_at), last_read.id), last_read.occurred_at)


def write_place(place: Place) -> str:
    """For an address. It is no secret and proves nothing: the person is always asked for too."""
    return base64url(f"{place.moment}:{place.id}".encode())


def read_place(text: str | None) -> Place | None:
    """The inverse of `write_place`; None for anything else, which then means the first page."""
    if not text or len(text) > 100:
        return None
    try:
        moment, _, row_id = base64url_decode(text).decode("ascii").partition(":")
        if not moment.isdecimal() or len(moment) > 18 or not is_identifier(row_id):
            return None
        from_microseconds(int(moment))
    except (ValueError, OverflowError):
        return None
    return Place(int(moment), row_id)


def _trail(user_id: str, since: datetime, after: Place | None, scan: int) -> Subquery:
    """At most `scan` rows of the person's trail, read backwards along ix_audit_events_history."""
    query = select(AuditEvent).where(AuditEvent.user_id == user_id, AuditEvent.occurred_at > since)
    if after is not None:
        place = tuple_(micros(AuditEvent.occurred_at), AuditEvent.id)
        query = query.where(place < tuple_(literal(after.moment), literal(after.id)))
    return query.order_by(AuditEvent.occurred_at.desc(), AuditEvent.id.desc()).limit(scan).subquery("trail")


def _newest_first(trail: Subquery) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return trail.c.occurred_at.desc(), trail.c.id.desc()


def _contains(text: str, trail: Subquery, app: Any) -> ColumnElement[bool]:
    columns: tuple[Any, ...] = (
        Client.name,
        app.c.name,
        Session.agent_name,
        Session.os_name,
        Session.device_name,
        Session.label,
        trail.c.ip_address,
        # A failed attempt has no session: what it said of itself is in the row.
        trail.c.details["agent"].as_string(),
        trail.c.details["os"].as_string(),
    )
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _row(found: Any) -> HistoryRow:
    return HistoryRow(
        id=found["id"],
        occurred_at=found["occurred_at"],
        kind=found["kind"],
        actor=found["actor"],
        ip_address=found["ip_address"],
        details=found["details"],
        client_name=found["client_name"],
        session_id=found["session_id"] if found["session_kind"] is not None else None,
        session_kind=found["session_kind"],
        agent_name=found["agent_name"] or str(found["details"].get("agent") or ""),
        os_name=found["os_name"] or str(found["details"].get("os") or ""),
        device_name=found["device_name"] or "",
        label=found["label"] or "",
        app_name=found["app_name"],
        started_at=found["started_at"],
        last_active_at=found["last_active_at"],
        ended_at=found["ended_at"],
    )
