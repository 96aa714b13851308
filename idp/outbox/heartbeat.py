"""Workers report that they live, so that readiness, metrics and `idp doctor` can tell a quiet queue from a dead one.

One row per running worker; it goes when the worker stops in good order, or a day after it was last seen.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from idp.db.engine import Tx
from idp.db.models import WorkerHeartbeat

FORGOTTEN_AFTER = timedelta(days=1)


def report_worker(tx: Tx, *, name: str, now: datetime) -> None:
    """Say that the worker `name` lives. Rows of workers that vanished long ago go."""
    seen = tx.execute(
        update(WorkerHeartbeat)
        .where(WorkerHeartbeat.name == name)
        .values(seen_at=now)
        .returning(WorkerHeartbeat.name)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if seen is None:
        tx.execute(insert(WorkerHeartbeat).values(name=name, seen_at=now))
    _forget(tx, WorkerHeartbeat.seen_at < now - FORGOTTEN_AFTER)


def forget_worker(tx: Tx, *, name: str) -> None:
    """The worker `name` stops in good order."""
    _forget(tx, WorkerHeartbeat.name == name)


def find_last_report(tx: Tx) -> datetime | None:
    """When any worker was last seen; None when none runs and none vanished within a day."""
    return tx.scalars(select(func.max(WorkerHeartbeat.seen_at))).one()


def _forget(tx: Tx, which: ColumnElement[bool]) -> None:
    tx.execute(delete(WorkerHeartbeat).where(which).execution_options(synchronize_session=False))
