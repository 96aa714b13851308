"""A person's receipts of 90 days, the newest first: what each act ended, and how telling the applications goes.

Keyset pages over one index, three statements whatever the history (lesson 20). Only ever the person's own; what the
applications answered is in none of it.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, literal, select, tuple_

from idp.audit.history import Place
from idp.db.engine import Tx
from idp.db.models import Client, DeliveryState, LogoutDelivery, LogoutEvent, Session, SessionKind
from idp.db.types import micros, to_microseconds
from idp.sessions.receipt import HISTORY_LIFETIME


@dataclass(frozen=True)
class EndedOne:
    """The one session that an act ended: what it takes to name it, and to say how long it lay unused or lived."""

    kind: SessionKind
    device_name: str
    os_name: str
    agent_name: str
    label: str
    started_at: datetime
    last_active_at: datetime
    client_name: str | None


@dataclass(frozen=True)
class ReceiptRow:
    """One act. `states` counts applications (not notices) by what became of telling them, the worst of each.

    `ended`: the session, when it was one. `application`: its name, when it was one that had to be told.
    """

    event_id: str
    reason: str
    occurred_at: datetime
    browsers: int
    apps: int
    access_expires_at: datetime | None
    states: Counter[DeliveryState]
    ended: EndedOne | None
    application: str | None


@dataclass(frozen=True)
class ReceiptPage:
    """Rows, the newest first; `older`: where to go on, None at the end."""

    rows: tuple[ReceiptRow, ...]
    older: Place | None


# An application with several notices is told only when all of them are.
_WORST_FIRST = (
    DeliveryState.PENDING,
    DeliveryState.GAVE_UP,
    DeliveryState.REFUSED,
    DeliveryState.CANNOT_BE_TOLD,
    DeliveryState.TOLD,
)


def list_receipts(tx: Tx, *, user_id: str, after: Place | None, now: datetime, limit: int = 25) -> ReceiptPage:
    """A page of a person's receipts behind `after`. An act of which nothing had to be told has one too."""
    query = select(LogoutEvent).where(LogoutEvent.user_id == user_id, LogoutEvent.occurred_at > now - HISTORY_LIFETIME)
    if after is not None:
        place = tuple_(micros(LogoutEvent.occurred_at), LogoutEvent.id)
        query = query.where(place < tuple_(literal(after.moment), literal(after.id)))
    order = LogoutEvent.occurred_at.desc(), LogoutEvent.id.desc()
    events = tx.scalars(query.order_by(*order).limit(limit + 1)).all()
    shown = events[:limit]
    told = _find_told(tx, [event.id for event in shown])
    single = _find_single(tx, user_id, [event.id for event in shown if event.browsers_ended + event.apps_ended == 1])
    rows = tuple(
        ReceiptRow(
            event_id=event.id,
            reason=event.reason,
            occurred_at=event.occurred_at,
            browsers=event.browsers_ended,
            apps=event.apps_ended,
            access_expires_at=event.access_expires_at,
            states=Counter(state for _, state in told[event.id]),
            ended=single.get(event.id),
            application=told[event.id][0][0] if len(told[event.id]) == 1 else None,
        )
        for event in shown
    )
    last = shown[-1] if len(events) > limit else None
    return ReceiptPage(rows, Place(to_microseconds(last.occurred_at), last.id) if last else None)


def _find_told(tx: Tx, event_ids: Sequence[str]) -> dict[str, list[tuple[str, DeliveryState]]]:
    """For each act its applications: the name, and the worst state of their notices."""
    states: dict[tuple[str, str], tuple[str, set[DeliveryState]]] = {}
    for event_id, client_id, name, state in tx.execute(
        select(
            LogoutDelivery.event_id,
            LogoutDelivery.client_id,
            func.max(LogoutDelivery.client_name),
            LogoutDelivery.state,
        )
        .where(LogoutDelivery.event_id.in_(event_ids))
        .group_by(LogoutDelivery.event_id, LogoutDelivery.client_id, LogoutDelivery.state)
    ):
        states.setdefault((event_id, client_id), (name, set()))[1].add(state)
    told: dict[str, list[tuple[str, DeliveryState]]] = defaultdict(list)
    for (event_id, _), (name, found) in states.items():
        told[event_id].append((name, next(state for state in _WORST_FIRST if state in found)))
    return told


def _find_single(tx: Tx, user_id: str, event_ids: Sequence[str]) -> dict[str, EndedOne]:
    """The session that each of these acts ended; none for one that is purged."""
    if not event_ids:
        return {}
    rows = tx.execute(
        select(
            Session.logout_event_id,
            Session.kind,
            Session.device_name,
            Session.os_name,
            Session.agent_name,
            Session.label,
            Session.started_at,
            Session.last_active_at,
            Client.name,
        )
        .outerjoin(Client, Client.id == Session.client_id)
        .where(Session.logout_event_id.in_(event_ids), Session.user_id == user_id)
    )
    return {str(row[0]): EndedOne(*row[1:]) for row in rows}
