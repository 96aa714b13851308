"""Receipts in plain words (design §7): what ended, each application with its state, when the last access dies.

"Told" means that the application answered; that it also signed the person out cannot be proved and is never claimed.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from idp.db.models import DeliveryState, EndReason
from idp.sessions import Receipt, ReceiptApplication
from idp.settings import Settings
from idp.web.views import NoticeLine, ReceiptView

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
    return ReceiptView(
        title=_TITLES.get(receipt.reason, "You are signed out"),
        what=_what_ended(receipt),
        occurred_at=receipt.occurred_at,
        applications=notice_lines(receipt.applications, settings) if is_named else (),
        counts=() if is_named else _counted(receipt.applications, settings),
        last_access_at=receipt.access_expires_at,
        is_over=receipt.access_expires_at is not None and receipt.access_expires_at <= now,
        pending=receipt.pending > 0,
        apps_stay=receipt.reason in _APPS_STAY_AFTER and receipt.browsers > 0,
    )


def notice_lines(applications: Sequence[ReceiptApplication], settings: Settings) -> tuple[NoticeLine, ...]:
    """One line per application, with its name as far as it is known."""
    return tuple(_line(application, settings) for application in applications)


def _what_ended(receipt: Receipt) -> str:
    if receipt.browsers + receipt.apps == 0:
        return "An application’s access ended"
    if receipt.browsers == 1 and receipt.apps == 0:
        return "Your session in one browser, and in every application opened with it, ended"
    if receipt.browsers == 0 and receipt.apps == 1:
        return "One app or tool was signed out"
    browsers = f"{receipt.browsers:,} browser{'' if receipt.browsers == 1 else 's'}"
    apps = "1 app or tool" if receipt.apps == 1 else f"{receipt.apps:,} apps and tools"
    parts = [words for count, words in ((receipt.browsers, browsers), (receipt.apps, apps)) if count]
    return f"{' and '.join(parts)} were signed out"


def _line(application: ReceiptApplication, settings: Settings) -> NoticeLine:
    name = application.name or ""
    match application.state:
        case DeliveryState.TOLD:
            return NoticeLine("Told at", "good", "check", name=name, at=application.settled_at)
        case DeliveryState.PENDING:
            return NoticeLine("Trying again" if application.is_retrying else "Being told", "wait", "clock", name=name)
        case DeliveryState.CANNOT_BE_TOLD:
            minutes = minutes_until_noticed(settings)
            words = f"Cannot be told, will notice within {minutes} minute{'' if minutes == 1 else 's'}"
            return NoticeLine(words, "plain", "minus", name=name)
        case DeliveryState.REFUSED | DeliveryState.GAVE_UP:
            return NoticeLine("Failed: it could not be told", "bad", "cross", name=name)


def _counted(applications: tuple[ReceiptApplication, ...], settings: Settings) -> tuple[NoticeLine, ...]:
    """One line per state, without names."""
    samples = [(_line(application, settings), application.state) for application in applications]
    order = list(dict.fromkeys((line.words, line.tone, line.symbol) for line, _ in samples))
    counts = Counter((line.words, line.tone, line.symbol) for line, _ in samples)
    return tuple(
        NoticeLine(words.removesuffix(" at"), tone, symbol, count=counts[words, tone, symbol])
        for words, tone, symbol in order
    )


def minutes_until_noticed(settings: Settings) -> int:
    """After how many whole minutes, at the latest, an application that can't be told finds its access gone (I3)."""
    return max(1, -(-int(settings.access_token_lifetime.total_seconds()) // 60))
