"""What operators see of notices: single ones with their states and times, and how telling one application goes.

Reads only. Everything is bounded: a list by its limit, an application's health by its latest `HEALTH_WINDOW` notices,
both along indexes, so that looking costs the same in the middle of an outage. What applications answered is nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, literal_column, select

from idp.db.engine import Tx
from idp.db.models import DeliveryState, LogoutDelivery
from idp.outbox.claim import _IS_PENDING

HEALTH_WINDOW = 1000
MAXIMUM_LISTED = 1000
# Spelled out, not bound: only so do both databases use the partial index on dead letters.
IS_DEAD: ColumnElement[bool] = literal_column("logout_deliveries.state IN ('refused', 'gave_up')")
DEAD = (DeliveryState.REFUSED, DeliveryState.GAVE_UP)


@dataclass(frozen=True)
class Health:
    """How telling one application went, of its latest notices. `error_rate` is None when none has come to an end."""

    looked_at: int
    told: int
    dead: int
    pending: int
    retrying: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None
    oldest_pending: timedelta | None

    @property
    def error_rate(self) -> float | None:
        """The part of the settled notices that never arrived: 0 to 1."""
        settled = self.told + self.dead
        return self.dead / settled if settled else None


def list_deliveries(
    tx: Tx, *, client_id: str | None, states: Sequence[DeliveryState], limit: int
) -> list[LogoutDelivery]:
    """Notices in these states: of one application the newest first; of all, what waits and then what died lately.

    Of all applications only pending and dead ones are listed: told ones are many, and no index leads to them.
    """
    limit = min(limit, MAXIMUM_LISTED)
    if client_id is not None:
        return list(
            tx.scalars(
                select(LogoutDelivery)
                .where(LogoutDelivery.client_id == client_id, LogoutDelivery.state.in_(states))
                .order_by(LogoutDelivery.created_at.desc(), LogoutDelivery.id.desc())
                .limit(limit)
            )
        )
    rows: list[LogoutDelivery] = []
    if DeliveryState.PENDING in states:
        waiting = select(LogoutDelivery).where(_IS_PENDING).order_by(LogoutDelivery.next_attempt_at).limit(limit)
        rows += tx.scalars(waiting)
    if set(states) & set(DEAD):
        died = select(LogoutDelivery).where(IS_DEAD, LogoutDelivery.state.in_(states))
        latest = died.order_by(LogoutDelivery.settled_at.desc(), LogoutDelivery.id.desc()).limit(limit - len(rows))
        rows += tx.scalars(latest)
    return rows


def measure_health(tx: Tx, *, client_id: str, now: datetime) -> Health:
    """How telling this application goes. Two statements."""
    latest = (
        select(
            LogoutDelivery.state,
            LogoutDelivery.attempts,
            LogoutDelivery.settled_at,
            LogoutDelivery.created_at,
        )
        .where(LogoutDelivery.client_id == client_id, LogoutDelivery.state != DeliveryState.CANNOT_BE_TOLD)
        .order_by(LogoutDelivery.created_at.desc(), LogoutDelivery.id.desc())
        .limit(HEALTH_WINDOW)
    )
    rows = tx.execute(latest).all()
    failed = tx.execute(
        select(LogoutDelivery.last_attempt_at, LogoutDelivery.last_failure)
        .where(LogoutDelivery.client_id == client_id, LogoutDelivery.last_failure.is_not(None))
        .order_by(LogoutDelivery.created_at.desc(), LogoutDelivery.id.desc())
        .limit(1)
    ).one_or_none()
    pending = [row for row in rows if row.state is DeliveryState.PENDING]
    told = [row.settled_at for row in rows if row.state is DeliveryState.TOLD]
    return Health(
        looked_at=len(rows),
        told=len(told),
        dead=sum(row.state in DEAD for row in rows),
        pending=len(pending),
        retrying=sum(row.attempts > 0 for row in pending),
        last_success_at=max(told, default=None),
        last_failure_at=failed.last_attempt_at if failed else None,
        last_failure=failed.last_failure if failed else None,
        oldest_pending=max((now - row.created_at for row in pending), default=None),
    )


def count_dead(tx: Tx, *, client_id: str) -> int:
    """How many notices to this application died and are still kept."""
    return tx.scalars(
        select(func.count()).select_from(LogoutDelivery).where(LogoutDelivery.client_id == client_id, IS_DEAD)
    ).one()
