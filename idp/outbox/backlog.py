"""How much waits to be told, and for how long: for metrics, readiness and `idp doctor`. One statement, reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from idp.db.engine import Tx
from idp.db.models import LogoutDelivery
from idp.outbox.claim import _IS_PENDING

_NONE = timedelta(0)


@dataclass(frozen=True)
class Backlog:
    """Notices that are neither told nor given up.

    `oldest`: how long the oldest has existed, an application that is down for hours included. `overdue`: how long one
    has been due without a worker taking it, which says something about the workers alone.
    """

    pending: int
    oldest: timedelta
    overdue: timedelta


def measure_backlog(tx: Tx, *, now: datetime) -> Backlog:
    """The queue as of `now`. A notice under lease is not due."""
    pending, created_at, due_at = tx.execute(
        select(func.count(), func.min(LogoutDelivery.created_at), func.min(LogoutDelivery.next_attempt_at)).where(
            _IS_PENDING
        )
    ).one()
    return Backlog(pending, _since(created_at, now), _since(due_at, now))


def _since(moment: datetime | None, now: datetime) -> timedelta:
    return _NONE if moment is None else max(_NONE, now - moment)
