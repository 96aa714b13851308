"""The receipt of an end: what ended, who was told, and when the last access token dies (design §7).

Its address is a bearer secret, so it says little: application names only in the browser that signed out, counts
elsewhere, and never what an application answered.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from idp.db.engine import Tx
from idp.db.models import DeliveryState, LogoutDelivery, LogoutEvent
from idp.kit.opaque import hash_secret, secret_matches, split_handle

# Below one page load of patience: a receipt that lists a thousand applications helps nobody.
MAXIMUM_APPLICATIONS = 200


@dataclass(frozen=True)
class ReceiptApplication:
    """One notice: to whom (None when another browser asks) and what became of it."""

    name: str | None
    state: DeliveryState
    is_retrying: bool
    settled_at: datetime | None


@dataclass(frozen=True)
class Receipt:
    """What one act ended, as far as this browser may know."""

    reason: str
    occurred_at: datetime
    browsers: int
    apps: int
    applications: tuple[ReceiptApplication, ...]
    access_expires_at: datetime | None
    pending: int
    is_own_browser: bool


def find_receipt(tx: Tx, *, handle: str, browser_binding: str | None, now: datetime) -> Receipt | None:
    """The receipt behind an address, for 24 hours; None for anything else. Two statements."""
    parts = split_handle(handle)
    if parts is None:
        return None
    event_id, secret = parts
    event = tx.get(LogoutEvent, event_id)
    if event is None or not secret_matches(secret.reveal(), event.receipt_hash):
        return None
    if event.receipt_expires_at is None or event.receipt_expires_at <= now:
        return None
    deliveries = tx.scalars(
        select(LogoutDelivery)
        .where(LogoutDelivery.event_id == event_id)
        .order_by(LogoutDelivery.client_name, LogoutDelivery.id)
        .limit(MAXIMUM_APPLICATIONS)
    ).all()
    is_own_browser = (
        browser_binding is not None
        and event.receipt_browser_hash is not None
        and hash_secret(browser_binding) == event.receipt_browser_hash
    )
    return Receipt(
        reason=event.reason,
        occurred_at=event.occurred_at,
        browsers=event.browsers_ended,
        apps=event.apps_ended,
        applications=tuple(_application(delivery, is_own_browser) for delivery in deliveries),
        access_expires_at=event.access_expires_at,
        pending=sum(delivery.state is DeliveryState.PENDING for delivery in deliveries),
        is_own_browser=is_own_browser,
    )


def _application(delivery: LogoutDelivery, named: bool) -> ReceiptApplication:
    return ReceiptApplication(
        name=delivery.client_name if named else None,
        state=delivery.state,
        is_retrying=delivery.state is DeliveryState.PENDING and delivery.attempts > 0,
        settled_at=delivery.settled_at,
    )
