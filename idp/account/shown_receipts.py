"""A list of receipts in words: what ended, why, and how telling the applications went, each in a line."""

from dataclasses import dataclass
from datetime import datetime

from idp.account.shown import title_of_record
from idp.db.models import DeliveryState
from idp.sessions.receipt_list import ReceiptRow
from idp.sessions.why import how_long
from idp.web.reasons import reason_in_history
from idp.web.receipts import what_ended
from idp.web.views import NoticeLine


@dataclass(frozen=True)
class ShownReceipt:
    """One act. `access_until` is set while access that was given out may still work."""

    event_id: str
    what: str
    reason: str
    occurred_at: datetime
    states: tuple[NoticeLine, ...]
    access_until: datetime | None


def shown_receipts(rows: tuple[ReceiptRow, ...], *, now: datetime) -> tuple[ShownReceipt, ...]:
    """Rows of the list."""
    return tuple(
        ShownReceipt(
            event_id=row.event_id,
            what=_what(row),
            reason=_reason(row),
            occurred_at=row.occurred_at,
            states=_states(row),
            access_until=row.access_expires_at if row.access_expires_at and row.access_expires_at > now else None,
        )
        for row in rows
    )


def _what(row: ReceiptRow) -> str:
    if row.ended is not None:
        return f"{title_of_record(row.ended)} was signed out"
    if row.browsers + row.apps == 0 and row.application:
        return f"{row.application} was signed out of your browser sessions"
    return what_ended(row.browsers, row.apps)


def _reason(row: ReceiptRow) -> str:
    lasted = None
    if row.ended is not None:
        started_at, last_active_at = row.ended.started_at, row.ended.last_active_at
        lasted = how_long(row.reason, started_at=started_at, last_active_at=last_active_at, ended_at=row.occurred_at)
    return reason_in_history(row.reason, lasted, of_many=row.browsers + row.apps > 1)


def _states(row: ReceiptRow) -> tuple[NoticeLine, ...]:
    failed = row.states[DeliveryState.GAVE_UP] + row.states[DeliveryState.REFUSED]
    lines = (
        (row.states[DeliveryState.TOLD], "told", "good", "check"),
        (row.states[DeliveryState.PENDING], "being told", "wait", "clock"),
        (failed, "could not be told", "bad", "cross"),
        (row.states[DeliveryState.CANNOT_BE_TOLD], "will notice by itself", "plain", "minus"),
    )
    found = tuple(
        NoticeLine(f"{_subject(row, count)} {_verb(words, count)}", tone, symbol, count=count)
        for count, words, tone, symbol in lines
        if count
    )
    return found or (NoticeLine("No application had to be told", "plain", "minus"),)


def _subject(row: ReceiptRow, count: int) -> str:
    if row.application:
        return row.application
    return f"{count:,} application{'' if count == 1 else 's'}"


def _verb(words: str, count: int) -> str:
    if words == "will notice by itself":
        return words if count == 1 else "will notice by themselves"
    return words
