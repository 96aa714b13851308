"""Receipts in plain words (design §7): what ended, each application with its state, when the last access dies.

"Told" means that the application answered; that it also signed the person out cannot be proved and is never claimed.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from werkzeug.datastructures import MIMEAccept

from idp.db.models import DeliveryState, EndReason
from idp.sessions import Frame, Receipt, ReceiptApplication
from idp.settings import Settings
from idp.web.times import iso
from idp.web.views import NoticeLine, ReceiptView

MAXIMUM_LINES = 200

_TITLES: dict[str, str] = {
    EndReason.SIGNED_OUT_EVERYWHERE: "You are signed out everywhere",
    EndReason.SIGNED_OUT_EVERYWHERE_ELSE: "You are signed out everywhere else",
    EndReason.SIGNED_OUT_BROWSERS: "Your browsers are signed out",
    # After these the person is still signed in where they read this.
    EndReason.ENDED_BY_PERSON: "Signed out",
    EndReason.CONSENT_WITHDRAWN: "The access is withdrawn",
}
# After these the person's apps and tools are gone too, or never were meant.
_APPS_STAY_AFTER: set[str] = {EndReason.SIGNED_OUT, EndReason.SIGNED_OUT_BY_APPLICATION, EndReason.SIGNED_OUT_BROWSERS}


def receipt_view(receipt: Receipt, *, now: datetime, settings: Settings) -> ReceiptView:
    """What a page shows of a receipt. Application names only where the receipt has them."""
    is_named = all(application.name for application in receipt.applications)
    has_access = access_left(receipt.access_expires_at, now)
    return ReceiptView(
        title=_TITLES.get(receipt.reason, "You are signed out"),
        what=what_ended(receipt.browsers, receipt.apps),
        occurred_at=receipt.occurred_at,
        applications=notice_lines(receipt.applications, settings, has_access=has_access) if is_named else (),
        counts=() if is_named else _counted(receipt.applications, settings, has_access=has_access),
        last_access_at=receipt.access_expires_at,
        is_over=receipt.access_expires_at is not None and not has_access,
        pending=receipt.pending > 0,
        apps_stay=receipt.reason in _APPS_STAY_AFTER and receipt.browsers > 0,
        more=without_line(receipt.applications) if is_named else 0,
        frames=tuple(frame_address(frame, settings) for frame in receipt.frames),
    )


def access_left(access_expires_at: datetime | None, now: datetime) -> bool:
    """Whether some access that was given out before the end can still be used."""
    return access_expires_at is not None and access_expires_at > now


def notice_lines(
    applications: Sequence[ReceiptApplication], settings: Settings, *, has_access: bool
) -> tuple[NoticeLine, ...]:
    """One line per application and state, with its name as far as it is known; at most `MAXIMUM_LINES`.

    Without access that is left, what cannot be told has found out, or will when it is next used.
    """
    return tuple(_line(application, settings, has_access=has_access) for application in applications[:MAXIMUM_LINES])


def without_line(applications: Sequence[ReceiptApplication]) -> int:
    """How many of them `notice_lines` left out, because a page of ten thousand would weigh a megabyte."""
    return max(0, len(applications) - MAXIMUM_LINES)


def frame_address(frame: Frame, settings: Settings) -> str:
    """What the browser opens to tell one application (Front-Channel Logout §3: `iss` and `sid`, always both).

    The registered address stays as it is, its own query included; what we add is ours and needs no parsing.
    """
    return f"{frame.uri}{'&' if '?' in frame.uri else '?'}{urlencode({'iss': settings.issuer, 'sid': frame.sid})}"


def what_ended(browsers: int, apps: int) -> str:
    """What an act ended, by its numbers: a clause for "… at 14:03" or a list."""
    if browsers + apps == 0:
        return "An application’s access ended"
    if browsers == 1 and apps == 0:
        return "Your session in one browser, and in every application opened with it, ended"
    if browsers == 0 and apps == 1:
        return "One app or tool was signed out"
    of_browsers = f"{browsers:,} browser{'' if browsers == 1 else 's'}"
    of_apps = "1 app or tool" if apps == 1 else f"{apps:,} apps and tools"
    parts = [words for count, words in ((browsers, of_browsers), (apps, of_apps)) if count]
    return f"{' and '.join(parts)} were signed out"


def _line(application: ReceiptApplication, settings: Settings, *, has_access: bool) -> NoticeLine:
    name, count = application.name or "", application.count
    match application.state:
        case DeliveryState.TOLD:
            return NoticeLine("Told at", "good", "check", name=name, at=application.settled_at, count=count)
        case DeliveryState.PENDING:
            words = "Trying again" if application.is_retrying else "Being told"
            return NoticeLine(words, "wait", "clock", name=name, count=count)
        case DeliveryState.CANNOT_BE_TOLD if application.is_asked_here:
            # Front-Channel Logout is a hope: frames say nothing back, and many browsers keep cookies from them.
            return NoticeLine("Asked through this browser (cannot be confirmed)", "plain", "info", name, count)
        case DeliveryState.CANNOT_BE_TOLD if not has_access:
            return NoticeLine("Could not be told, its access is over", "plain", "minus", name=name, count=count)
        case DeliveryState.CANNOT_BE_TOLD:
            minutes = minutes_until_noticed(settings)
            words = f"Cannot be told, will notice within {minutes} minute{'' if minutes == 1 else 's'}"
            return NoticeLine(words, "plain", "minus", name=name, count=count)
        case DeliveryState.REFUSED | DeliveryState.GAVE_UP:
            return NoticeLine("Failed: it could not be told", "bad", "cross", name=name, count=count)


def _counted(
    applications: tuple[ReceiptApplication, ...], settings: Settings, *, has_access: bool
) -> tuple[NoticeLine, ...]:
    """One line per state, without names."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for application in applications:
        line = _line(application, settings, has_access=has_access)
        counts[line.words, line.tone, line.symbol] += 1
    return tuple(
        NoticeLine(words.removesuffix(" at"), tone, symbol, count=count)
        for (words, tone, symbol), count in counts.items()
    )


def minutes_until_noticed(settings: Settings) -> int:
    """After how many whole minutes, at the latest, an application that can't be told finds its access gone (I3)."""
    return max(1, -(-int(settings.access_token_lifetime.total_seconds()) // 60))


_STATES: dict[DeliveryState, str] = {
    DeliveryState.TOLD: "told",
    DeliveryState.PENDING: "being_told",
    DeliveryState.REFUSED: "failed",
    DeliveryState.GAVE_UP: "failed",
    DeliveryState.CANNOT_BE_TOLD: "cannot_be_told",
}


def receipt_json(receipt: Receipt, *, now: datetime) -> dict[str, Any]:
    """A receipt for programs: as much as the page says to the same reader, moments in UTC."""
    over = receipt.access_expires_at is None or receipt.access_expires_at <= now
    return {
        "reason": receipt.reason,
        "occurred_at": iso(receipt.occurred_at),
        "browsers": receipt.browsers,
        "apps": receipt.apps,
        "applications": [_application_json(application) for application in receipt.applications],
        "pending": receipt.pending,
        "access_expires_at": iso(receipt.access_expires_at) if receipt.access_expires_at else None,
        "is_over": over,
    }


def _application_json(application: ReceiptApplication) -> dict[str, Any]:
    state = _STATES[application.state]
    if application.state is DeliveryState.CANNOT_BE_TOLD and application.is_asked_here:
        state = "asked_through_browser"
    if application.is_retrying:
        state = "trying_again"
    named = {"name": application.name} if application.name is not None else {}
    told_at = iso(application.settled_at) if application.settled_at else None
    return {**named, "state": state, "at": told_at, "sessions": application.count}


def wants_json(accept: MIMEAccept) -> bool:
    """Whether a program asks, by `Accept: application/json`; a browser always prefers a page (RFC 9110 §12.5.1)."""
    return accept.best_match(("text/html", "application/json"), "text/html") == "application/json"
