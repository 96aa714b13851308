"""Session records in the words of the account page: a title that tells devices apart, an icon, a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from idp.db.models import DeliveryState, SessionKind
from idp.sessions import DeviceRow, EndedRow
from idp.sessions.ended import HISTORY_LIFETIME, ApprovedApp, EndedDetails
from idp.settings import Settings
from idp.web.reasons import reason_in_history
from idp.web.receipts import notice_lines
from idp.web.views import ReceiptView

Row = TypeVar("Row")

_MOBILE = ("Android", "iOS", "iPadOS")
_TABLETS = ("iPad", "Tablet", "Tab ")


@dataclass(frozen=True)
class ShownSession:
    """One row of "Browsers" or "Apps and command-line tools"."""

    id: str
    title: str
    icon: str
    is_current: bool
    ip: str
    started_at: datetime
    last_active_at: datetime
    used: tuple[str, ...] = ()
    approved_by: str = ""


@dataclass(frozen=True)
class ShownEnded:
    """One row of "Recently ended", or the head of its own page."""

    id: str
    title: str
    reason: str
    ip: str
    started_at: datetime
    ended_at: datetime
    has_details: bool = True
    used: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownList(Generic[Row]):
    """One section: its page of rows, how many there are in all, and the ways on and back."""

    rows: tuple[Row, ...]
    total: int = 0
    next_path: str | None = None
    first_path: str | None = None


@dataclass(frozen=True)
class ShownEnd:
    """What "sign out everywhere" or "everywhere else" would end."""

    browsers: int
    apps: int
    told: tuple[str, ...]
    cannot_be_told: tuple[str, ...]
    minutes: int


def title_of(
    kind: SessionKind, *, agent_name: str, os_name: str, device_name: str, client_name: str | None, label: str = ""
) -> str:
    """What a person calls it: "Firefox 143 on Linux", "Drydock CLI on Pixel 9 (Android 16)"."""
    what = agent_name or "Unknown browser" if kind is SessionKind.BROWSER else label or client_name or "Unknown app"
    where = f"{device_name} ({os_name})" if device_name and os_name else device_name or os_name
    return f"{what} on {where}" if where else what


def icon_of(kind: SessionKind, *, os_name: str, device_name: str) -> str:
    """The name of the icon beside the title."""
    if device_name.startswith(_TABLETS) or os_name.startswith("iPadOS"):
        return "tablet"
    if os_name.startswith(_MOBILE):
        return "phone"
    return "browser" if kind is SessionKind.BROWSER else "terminal"


def shown_sessions(rows: Sequence[DeviceRow], *, among: Sequence[DeviceRow]) -> tuple[ShownSession, ...]:
    """Rows for one section, this browser first. `among` are all rows at hand, to name what approved an app."""
    titles = {row.session_id: _title(row) for row in among}
    rows = sorted(rows, key=lambda row: not row.is_current)
    return tuple(
        ShownSession(
            id=row.session_id,
            title=_title(row),
            icon=icon_of(row.kind, os_name=row.os_name, device_name=row.device_name),
            is_current=row.is_current,
            ip=row.ip_address,
            started_at=row.started_at,
            last_active_at=row.last_active_at,
            # An app's only participation is its own: naming it twice says nothing.
            used=row.applications if row.kind is SessionKind.BROWSER else (),
            approved_by=titles.get(row.parent_id or "", ""),
        )
        for row in rows
    )


def shown_ended(rows: Sequence[EndedRow], *, now: datetime) -> tuple[ShownEnded, ...]:
    """Rows of the history. Details are kept for 90 days only."""
    return tuple(
        ShownEnded(
            id=row.session_id,
            title=_title(row),
            reason=reason_in_history(row.reason),
            ip=row.ip_address,
            started_at=row.started_at,
            ended_at=row.ended_at,
            has_details=row.ended_at > now - HISTORY_LIFETIME,
        )
        for row in rows
    )


def shown_details(details: EndedDetails) -> ShownEnded:
    """The head of an ended session's page."""
    return ShownEnded(
        id=details.session_id,
        title=_title(details),
        reason=reason_in_history(details.reason),
        ip=details.ip_address,
        started_at=details.started_at,
        ended_at=details.ended_at,
        used=tuple(dict.fromkeys(application.name or "" for application in details.applications)),
    )


def shown_approved(approved: Sequence[ApprovedApp]) -> tuple[ShownSession, ...]:
    """The tools that an ended browser had approved."""
    return tuple(
        ShownSession(
            id=tool.session_id,
            title=title_of(
                SessionKind.APP,
                agent_name="",
                os_name=tool.os_name,
                device_name=tool.device_name,
                client_name=tool.client_name,
            ),
            icon=icon_of(SessionKind.APP, os_name=tool.os_name, device_name=tool.device_name),
            is_current=False,
            ip="",
            started_at=tool.started_at,
            last_active_at=tool.last_active_at,
        )
        for tool in approved
    )


def history_receipt(details: EndedDetails, *, now: datetime, settings: Settings) -> ReceiptView:
    """The receipt in the person's history: always with names, because it is theirs."""
    return ReceiptView(
        title="",
        what="",
        occurred_at=details.ended_at,
        applications=notice_lines(details.applications, settings),
        last_access_at=details.access_expires_at,
        is_over=details.access_expires_at is not None and details.access_expires_at <= now,
        pending=any(application.state is DeliveryState.PENDING for application in details.applications),
    )


def _title(row: DeviceRow | EndedRow | EndedDetails) -> str:
    return title_of(
        row.kind,
        agent_name=row.agent_name,
        os_name=row.os_name,
        device_name=row.device_name,
        client_name=row.client_name,
        label=row.label if isinstance(row, DeviceRow) else "",
    )
