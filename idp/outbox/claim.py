"""Leasing due notices to one worker, and recording what became of them.

A lease is a row's `next_attempt_at` moved to the lease's end: a worker that dies leaves its rows to come due by
themselves, and nothing has to look for them. Two workers never hold one row: PostgreSQL skips rows that another is
claiming, SQLite lets one transaction write at a time, and on both the UPDATE repeats the condition. Whoever lost a
lease can't record anything: holder and attempt number are the fence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, update

from idp.db.engine import Tx
from idp.db.models import LogoutDelivery
from idp.settings import Settings

# How many due rows a claim looks at: enough to see past one host's backlog, few enough to stay quick in a big outage.
_WINDOW = 1000
# Spelled out, not bound: only so do both databases use the partial index on pending rows.
_IS_PENDING: ColumnElement[bool] = literal_column("logout_deliveries.state = 'pending'")


class Lane(StrEnum):
    """First attempts and repeated ones are claimed apart, so that known-dead applications never delay a new notice."""

    FIRST = "first"
    AGAIN = "again"


@dataclass(frozen=True)
class Claimed:
    """A notice that this worker may attempt once, until `leased_until`. `attempts` counts the one now due."""

    id: str
    client_id: str
    uri: str
    host: str
    operator_registered: bool
    audience: str
    sub: str
    sid: str
    algorithm: str
    ended_at: datetime
    created_at: datetime
    attempts: int
    refusals: int
    holder: str
    leased_until: datetime
    logout_reason: str | None = None


def claim_due(
    tx: Tx,
    *,
    holder: str,
    limit: int,
    now: datetime,
    settings: Settings,
    lane: Lane | None = None,
    full_hosts: frozenset[str] = frozenset(),
    may_take: Callable[[str], bool] = lambda _host: True,
) -> list[Claimed]:
    """Lease up to `limit` due notices to `holder`, the oldest first and at most a few per host.

    `full_hosts` are passed over; `may_take(host)` is asked once per notice and takes the caller's slot when it says
    yes. The lease counts only once this transaction is committed: attempt nothing before. `lane` None: either.
    """
    if limit < 1:
        return []
    due = _IS_PENDING & (LogoutDelivery.next_attempt_at <= now)
    statement = _lockable(due, lane, full_hosts, limit=limit, per_host=settings.deliveries_per_host)
    chosen = [row.id for row in tx.execute(statement) if may_take(row.host)]
    if not chosen:
        return []
    leased_until = now + settings.delivery_lease_lifetime
    leased = tx.execute(
        update(LogoutDelivery)
        .where(LogoutDelivery.id.in_(chosen), due)
        .values(
            attempts=LogoutDelivery.attempts + 1,
            lease_holder=holder,
            leased_until=leased_until,
            next_attempt_at=leased_until,
            last_attempt_at=now,
        )
        .returning(*_COLUMNS)
        .execution_options(synchronize_session=False)
    ).mappings()
    claimed = [Claimed(**row, holder=holder, leased_until=leased_until) for row in leased]
    return sorted(claimed, key=lambda one: chosen.index(one.id))


_COLUMNS = (
    LogoutDelivery.id,
    LogoutDelivery.client_id,
    LogoutDelivery.uri,
    LogoutDelivery.host,
    LogoutDelivery.operator_registered,
    LogoutDelivery.audience,
    LogoutDelivery.sub,
    LogoutDelivery.sid,
    LogoutDelivery.algorithm,
    LogoutDelivery.ended_at,
    LogoutDelivery.created_at,
    LogoutDelivery.attempts,
    LogoutDelivery.refusals,
    LogoutDelivery.logout_reason,
)


def _lockable(
    due: ColumnElement[bool], lane: Lane | None, full_hosts: frozenset[str], *, limit: int, per_host: int
) -> Select[str, str]:
    """The due rows to lock: of the oldest ones, not more than `per_host` for one host."""
    wanted = [due]
    if lane is not None:
        wanted.append(LogoutDelivery.attempts == 0 if lane is Lane.FIRST else LogoutDelivery.attempts > 0)
    if full_hosts:
        wanted.append(LogoutDelivery.host.not_in(sorted(full_hosts)))
    oldest = (
        select(LogoutDelivery.id, LogoutDelivery.host, LogoutDelivery.next_attempt_at)
        .where(*wanted)
        .order_by(LogoutDelivery.next_attempt_at)
        .limit(_WINDOW)
        .subquery()
    )
    place = func.row_number().over(partition_by=oldest.c.host, order_by=(oldest.c.next_attempt_at, oldest.c.id))
    ranked = select(oldest.c.id, place.label("place")).subquery()
    return (
        select(LogoutDelivery.id, LogoutDelivery.host)
        .where(LogoutDelivery.id.in_(select(ranked.c.id).where(ranked.c.place <= per_host)), due)
        .order_by(LogoutDelivery.next_attempt_at, LogoutDelivery.id)
        .limit(limit)
        # PostgreSQL only; SQLite ignores it, and lets one transaction write at a time.
        .with_for_update(skip_locked=True, key_share=True)
    )


def find_next_due(tx: Tx | Connection, *, full_hosts: frozenset[str] = frozenset()) -> datetime | None:
    """When the next pending notice is due (the past: now), `full_hosts` left aside; None when nothing is pending."""
    statement = select(LogoutDelivery.next_attempt_at).where(_IS_PENDING)
    if full_hosts:
        statement = statement.where(LogoutDelivery.host.not_in(sorted(full_hosts)))
    return tx.execute(statement.order_by(LogoutDelivery.next_attempt_at).limit(1)).scalar_one_or_none()
