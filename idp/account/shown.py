"""Session records in the words of the account page: a title that tells devices apart, an icon, a reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from idp.account.lookalikes import Exactness, how_exact
from idp.db.models import DeliveryState, SessionKind
from idp.sessions import ApprovedIn, DeviceRow, EndedRow, EndPreview, LiveSession, UsedApplication
from idp.sessions.ended import ApprovedApp, EndedDetails
from idp.sessions.receipt import HISTORY_LIFETIME
from idp.sessions.why import how_long
from idp.settings import Settings
from idp.web.reasons import reason_in_history
from idp.web.receipts import access_left, minutes_until_noticed, notice_lines, without_line
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
    approver_is_over: bool = False
    approved_apps: int = 0
    by_name: str = ""
    exactness: Exactness = Exactness.DAY


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
class ShownTitle:
    """One session in a list of what would end."""

    title: str
    started_at: datetime
    exactness: Exactness


@dataclass(frozen=True)
class ShownEnd:
    """What an end of several things would end. `titles` name the sessions, as far as they are listed."""

    browsers: int
    apps: int
    told: tuple[str, ...]
    cannot_be_told: tuple[str, ...]
    minutes: int
    titles: tuple[ShownTitle, ...] = ()
    asked_here: tuple[str, ...] = ()

    @property
    def unnamed(self) -> int:
        """How many sessions there are beyond those with a title."""
        return self.browsers + self.apps - len(self.titles)


def shown_end(preview: EndPreview, settings: Settings) -> ShownEnd:
    """A preview in the words of the page."""
    untold = [application for application in preview.applications if not application.can_be_told]
    return ShownEnd(
        browsers=preview.browsers,
        apps=preview.apps,
        told=tuple(application.name for application in preview.applications if application.can_be_told),
        cannot_be_told=tuple(application.name for application in untold if not application.is_asked_here),
        minutes=minutes_until_noticed(settings),
        titles=_shown_titles(preview),
        asked_here=tuple(application.name for application in untold if application.is_asked_here),
    )


def _shown_titles(preview: EndPreview) -> tuple[ShownTitle, ...]:
    rows = [(title_of_record(session), session.started_at) for session in preview.sessions]
    exact = how_exact(rows, at_least=Exactness.MINUTE)
    return tuple(ShownTitle(title, started_at, how) for (title, started_at), how in zip(rows, exact, strict=True))


class Titled(Protocol):
    """Every record that a session's title is made of."""

    @property
    def kind(self) -> SessionKind: ...
    @property
    def agent_name(self) -> str: ...
    @property
    def os_name(self) -> str: ...
    @property
    def device_name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def client_name(self) -> str | None: ...


def title_of_record(record: Titled) -> str:
    """What a person calls it: the name they gave it, "Firefox 143 on Linux", "Drydock CLI on Pixel 9 (Android 16)"."""
    return record.label if record.label and record.kind is SessionKind.APP else usual_title(record)


def usual_title(record: Titled) -> str:
    """The title without the person's own name for it."""
    what = record.agent_name or "Unknown browser"
    if record.kind is SessionKind.APP:
        what = record.client_name or "Unknown app"
    return _placed(what, os_name=record.os_name, device_name=record.device_name)


def _placed(what: str, *, os_name: str, device_name: str) -> str:
    where = f"{device_name} ({os_name})" if device_name and os_name else device_name or os_name
    return f"{what} on {where}" if where else what


def title_of_approver(approver: ApprovedIn) -> str:
    """The browser in which an app was approved."""
    return _placed(approver.agent_name or "Unknown browser", os_name=approver.os_name, device_name=approver.device_name)


def icon_of(kind: SessionKind, *, os_name: str, device_name: str) -> str:
    """The name of the icon beside the title."""
    if device_name.startswith(_TABLETS) or os_name.startswith("iPadOS"):
        return "tablet"
    if os_name.startswith(_MOBILE):
        return "phone"
    return "browser" if kind is SessionKind.BROWSER else "terminal"


def shown_sessions(rows: Sequence[DeviceRow]) -> tuple[ShownSession, ...]:
    """Rows for one section, this browser first."""
    return _apart(
        ShownSession(
            id=row.session_id,
            title=title_of_record(row),
            icon=icon_of(row.kind, os_name=row.os_name, device_name=row.device_name),
            is_current=row.is_current,
            ip=row.ip_address,
            started_at=row.started_at,
            last_active_at=row.last_active_at,
            # An app's only participation is its own: naming it twice says nothing.
            used=row.applications if row.kind is SessionKind.BROWSER else (),
            approved_by=title_of_approver(row.approved_in) if row.approved_in else "",
            approver_is_over=row.approved_in is not None and row.approved_in.is_over,
            approved_apps=row.approved_apps,
            by_name=usual_title(row) if row.label and row.kind is SessionKind.APP else "",
        )
        for row in sorted(rows, key=lambda row: not row.is_current)
    )


def _apart(sessions: Iterable[ShownSession]) -> tuple[ShownSession, ...]:
    """The same rows, each saying when it was signed in as exactly as it takes to know it from the others."""
    rows = tuple(sessions)
    exact = how_exact([(row.title, row.started_at) for row in rows])
    return tuple(replace(row, exactness=how) for row, how in zip(rows, exact, strict=True))


def shown_ended(rows: Sequence[EndedRow], *, now: datetime) -> tuple[ShownEnded, ...]:
    """Rows of the history. Details are kept for 90 days only."""
    return tuple(
        ShownEnded(
            id=row.session_id,
            title=title_of_record(row),
            reason=_reason(row),
            ip=row.ip_address,
            started_at=row.started_at,
            ended_at=row.ended_at,
            has_details=row.ended_at > now - HISTORY_LIFETIME,
        )
        for row in rows
    )


def _reason(ended: EndedRow | EndedDetails) -> str:
    lasted = how_long(
        ended.reason, started_at=ended.started_at, last_active_at=ended.last_active_at, ended_at=ended.ended_at
    )
    return reason_in_history(ended.reason, lasted)


def shown_details(details: EndedDetails) -> ShownEnded:
    """The head of an ended session's page."""
    return ShownEnded(
        id=details.session_id,
        title=title_of_record(details),
        reason=_reason(details),
        ip=details.ip_address,
        started_at=details.started_at,
        ended_at=details.ended_at,
        used=tuple(dict.fromkeys(application.name or "" for application in details.applications)),
    )


def shown_approved(approved: Sequence[ApprovedApp]) -> tuple[ShownSession, ...]:
    """The tools that a browser approved."""
    return _apart(
        ShownSession(
            id=tool.session_id,
            title=tool.label or _placed(tool.client_name, os_name=tool.os_name, device_name=tool.device_name),
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
    has_access = access_left(details.access_expires_at, now)
    return ReceiptView(
        title="",
        what="",
        occurred_at=details.ended_at,
        applications=notice_lines(details.applications, settings, has_access=has_access),
        last_access_at=details.access_expires_at,
        is_over=details.access_expires_at is not None and not has_access,
        pending=any(application.state is DeliveryState.PENDING for application in details.applications),
        more=without_line(details.applications),
    )


@dataclass(frozen=True)
class ShownLive:
    """A live session on its own page."""

    id: str
    title: str
    usual_title: str
    label: str
    is_app: bool
    is_current: bool
    ip: str
    started_at: datetime
    last_active_at: datetime
    applications: tuple[UsedApplication, ...]
    approved_by: str
    approver_id: str
    approver_is_over: bool


def shown_live(live: LiveSession, *, is_current: bool) -> ShownLive:
    """One live session, ready to print."""
    is_app = live.kind is SessionKind.APP
    return ShownLive(
        id=live.session_id,
        title=title_of_record(live),
        usual_title=usual_title(live),
        label=live.label,
        is_app=is_app,
        is_current=is_current,
        ip=live.ip_address,
        started_at=live.started_at,
        last_active_at=live.last_active_at,
        applications=live.applications if not is_app else (),
        approved_by=title_of_approver(live.approved_in) if live.approved_in else "",
        approver_id=live.approved_in.session_id if live.approved_in else "",
        approver_is_over=live.approved_in is not None and live.approved_in.is_over,
    )
