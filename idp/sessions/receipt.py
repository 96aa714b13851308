"""The receipt of an end: what ended, who was told, and when the last access token dies (design §7).

Its public address is a bearer secret, so it says little: application names only in the browser that signed out, counts
elsewhere, and never what an application answered. To its person, signed in, it tells the names for 90 days.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, select

from idp.db.engine import Tx
from idp.db.models import DeliveryState, LogoutDelivery, LogoutEvent
from idp.kit.identifiers import is_identifier
from idp.kit.opaque import hash_secret, secret_matches, split_handle

MAXIMUM_FRAMES = 50
HISTORY_LIFETIME = timedelta(days=90)
# The frames of front-channel logout are for the moment after the deed, and not for everybody who reads it up later.
FRAMES_LIFETIME = timedelta(minutes=2)


@dataclass(frozen=True)
class ReceiptApplication:
    """An application (its name is None when another browser asks) and what became of so many notices to it.

    `is_asked_here`: the browser that signed out was asked to tell it (Front-Channel Logout), which nobody can confirm.
    """

    name: str | None
    state: DeliveryState
    is_retrying: bool
    settled_at: datetime | None
    count: int = 1
    is_asked_here: bool = False


@dataclass(frozen=True)
class Frame:
    """A front-channel address that the browser shall open now, with the `sid` that the application knows."""

    uri: str
    sid: str


@dataclass(frozen=True)
class Receipt:
    """What one act ended, as far as the reader may know. `frames` are for the browser that did it, and at once."""

    reason: str
    occurred_at: datetime
    browsers: int
    apps: int
    applications: tuple[ReceiptApplication, ...]
    access_expires_at: datetime | None
    pending: int
    is_own_browser: bool
    frames: tuple[Frame, ...] = ()


def find_receipt(tx: Tx, *, handle: str, browser_binding: str | None, now: datetime) -> Receipt | None:
    """The receipt behind an address, for 24 hours; None for anything else. Two statements, three with frames."""
    parts = split_handle(handle)
    if parts is None:
        return None
    event_id, secret = parts
    event = tx.get(LogoutEvent, event_id)
    if event is None or not secret_matches(secret.reveal(), event.receipt_hash):
        return None
    if event.receipt_expires_at is None or event.receipt_expires_at <= now:
        return None
    return _receipt(tx, event, is_named=_is_own_browser(event, browser_binding), binding=browser_binding, now=now)


def find_own_receipt(
    tx: Tx, *, user_id: str, event_id: str, browser_binding: str | None, now: datetime
) -> Receipt | None:
    """The receipt in a person's own history, for 90 days; None for others', unknown and older ones."""
    if not is_identifier(event_id):
        return None
    event = tx.scalars(
        select(LogoutEvent).where(
            LogoutEvent.id == event_id,
            LogoutEvent.user_id == user_id,
            LogoutEvent.occurred_at > now - HISTORY_LIFETIME,
        )
    ).one_or_none()
    if event is None:
        return None
    return _receipt(tx, event, is_named=True, binding=browser_binding, now=now)


def find_applications(tx: Tx, which: ColumnElement[bool]) -> tuple[ReceiptApplication, ...]:
    """Each application with each state that its notices are in, counted: one line for a hundred sessions of one."""
    # A failure, and not the number of attempts: that counts the first one while it is still under way.
    has_failed = LogoutDelivery.last_failure.is_not(None)
    is_retrying = and_(LogoutDelivery.state == DeliveryState.PENDING, has_failed).label("is_retrying")
    is_asked_here = LogoutDelivery.frontchannel_uri.is_not(None).label("is_asked_here")
    rows = tx.execute(
        select(
            LogoutDelivery.client_name,
            LogoutDelivery.state,
            is_retrying,
            is_asked_here,
            func.max(LogoutDelivery.settled_at),
            func.count(),
        )
        .where(which)
        .group_by(
            LogoutDelivery.client_name, LogoutDelivery.client_id, LogoutDelivery.state, is_retrying, is_asked_here
        )
        .order_by(LogoutDelivery.client_name, LogoutDelivery.client_id, LogoutDelivery.state)
    )
    return tuple(
        ReceiptApplication(
            name=name,
            state=state,
            is_retrying=bool(retrying),
            settled_at=settled_at if state is not DeliveryState.PENDING else None,
            count=count,
            is_asked_here=bool(asked),
        )
        for name, state, retrying, asked, settled_at, count in rows
    )


def _is_own_browser(event: LogoutEvent, browser_binding: str | None) -> bool:
    return (
        browser_binding is not None
        and event.receipt_browser_hash is not None
        and hash_secret(browser_binding) == event.receipt_browser_hash
    )


def _receipt(tx: Tx, event: LogoutEvent, *, is_named: bool, binding: str | None, now: datetime) -> Receipt:
    applications = find_applications(tx, LogoutDelivery.event_id == event.id)
    pending = sum(application.count for application in applications if application.state is DeliveryState.PENDING)
    is_own_browser = _is_own_browser(event, binding)
    may_ask = is_own_browser and event.occurred_at > now - FRAMES_LIFETIME
    has_frames = may_ask and any(application.is_asked_here for application in applications)
    return Receipt(
        reason=event.reason,
        occurred_at=event.occurred_at,
        browsers=event.browsers_ended,
        apps=event.apps_ended,
        applications=applications if is_named else _unnamed(applications),
        access_expires_at=event.access_expires_at,
        pending=pending,
        is_own_browser=is_own_browser,
        frames=_frames(tx, event.id) if has_frames else (),
    )


def _unnamed(applications: tuple[ReceiptApplication, ...]) -> tuple[ReceiptApplication, ...]:
    return tuple(
        ReceiptApplication(
            name=None,
            state=application.state,
            is_retrying=application.is_retrying,
            settled_at=None,
            count=application.count,
            is_asked_here=application.is_asked_here,
        )
        for application in applications
    )


def _frames(tx: Tx, event_id: str) -> tuple[Frame, ...]:
    rows = tx.execute(
        select(LogoutDelivery.frontchannel_uri, LogoutDelivery.sid)
        .where(LogoutDelivery.event_id == event_id, LogoutDelivery.frontchannel_uri.is_not(None))
        .order_by(LogoutDelivery.id)
        .limit(MAXIMUM_FRAMES)
    )
    return tuple(Frame(uri, sid) for uri, sid in rows if uri is not None)
