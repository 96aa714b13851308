"""The receipt of an end: what ended, who was told, and when the last access token dies (design §7).

Its public address is a bearer secret, so it says little: application names only in the browser that signed out, counts
elsewhere, and never what an application answered. To its person, signed in, it tells the names for 90 days.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Row, and_, bindparam, func, select

from idp.db.engine import Tx
from idp.db.models import DeliveryState, LogoutDelivery, LogoutEvent
from idp.db.once import run
from idp.kit.identifiers import is_identifier
from idp.kit.opaque import hash_secret, secret_matches, split_handle

MAXIMUM_FRAMES = 50
HISTORY_LIFETIME = timedelta(days=90)
# The frames of front-channel logout are for the moment after the deed, and not for everybody who reads it up later.
FRAMES_LIFETIME = timedelta(minutes=2)

_EVENT = select(*LogoutEvent.__table__.columns).where(LogoutEvent.id == bindparam("event"))
# A failure, and not the number of attempts: that counts the first one while it is still under way.
_HAS_FAILED = LogoutDelivery.last_failure.is_not(None)
_IS_RETRYING = and_(LogoutDelivery.state == DeliveryState.PENDING, _HAS_FAILED).label("is_retrying")
_IS_ASKED_HERE = LogoutDelivery.frontchannel_uri.is_not(None).label("is_asked_here")
_APPLICATIONS = (
    select(
        LogoutDelivery.client_name,
        LogoutDelivery.state,
        _IS_RETRYING,
        _IS_ASKED_HERE,
        func.max(LogoutDelivery.settled_at).label("settled_at"),
        func.count().label("notices"),
    )
    .where(LogoutDelivery.event_id == bindparam("event"))
    .group_by(LogoutDelivery.client_name, LogoutDelivery.client_id, LogoutDelivery.state, _IS_RETRYING, _IS_ASKED_HERE)
    .order_by(LogoutDelivery.client_name, LogoutDelivery.client_id, LogoutDelivery.state)
)
_APPLICATIONS_OF_SESSION = _APPLICATIONS.where(LogoutDelivery.session_id == bindparam("session"))
_FRAMES = (
    select(LogoutDelivery.frontchannel_uri, LogoutDelivery.sid)
    .where(LogoutDelivery.event_id == bindparam("event"), LogoutDelivery.frontchannel_uri.is_not(None))
    .order_by(LogoutDelivery.id)
    .limit(bindparam("most", type_=Integer()))
)


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
    event = run(tx, _EVENT, {"event": event_id}).one_or_none()
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
    event = run(tx, _EVENT, {"event": event_id}).one_or_none()
    if event is None or event.user_id != user_id or event.occurred_at <= now - HISTORY_LIFETIME:
        return None
    return _receipt(tx, event, is_named=True, binding=browser_binding, now=now)


def find_applications(tx: Tx, event_id: str, *, session_id: str | None = None) -> tuple[ReceiptApplication, ...]:
    """Each application with each state that its notices are in, counted: one line for a hundred sessions of one.

    The notices of an event; with `session_id`, only those about that session.
    """
    if session_id is None:
        rows = run(tx, _APPLICATIONS, {"event": event_id})
    else:
        rows = run(tx, _APPLICATIONS_OF_SESSION, {"event": event_id, "session": session_id})
    return tuple(
        ReceiptApplication(
            name=row.client_name,
            state=row.state,
            is_retrying=bool(row.is_retrying),
            settled_at=row.settled_at if row.state is not DeliveryState.PENDING else None,
            count=row.notices,
            is_asked_here=bool(row.is_asked_here),
        )
        for row in rows
    )


def _is_own_browser(event: Row[Any], browser_binding: str | None) -> bool:
    return (
        browser_binding is not None
        and event.receipt_browser_hash is not None
        and hash_secret(browser_binding) == event.receipt_browser_hash
    )


def _receipt(tx: Tx, event: Row[Any], *, is_named: bool, binding: str | None, now: datetime) -> Receipt:
    applications = find_applications(tx, event.id)
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
    rows = run(tx, _FRAMES, {"event": event_id, "most": MAXIMUM_FRAMES})
    return tuple(Frame(row.frontchannel_uri, row.sid) for row in rows)
