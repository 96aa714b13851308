"""Recording what an attempt led to, as long as we still hold the lease.

A worker that was too slow finds its lease gone: the notice is another's by then, and the late result is dropped. The
application may be told twice in such a case (at least once, design §2.4), but a row never goes back from an end state.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, or_, update

from idp.db.engine import Tx
from idp.db.models import DeliveryState, LogoutDelivery
from idp.outbox.claim import Claimed
from idp.outbox.next_step import NextStep, Outcome, Retry, Settle, failure_of, status_of


def settle(tx: Tx | Connection, claimed: Claimed, step: NextStep, outcome: Outcome, *, now: datetime) -> bool:
    """Write down the outcome and what follows. False: the lease was lost, and nothing was written."""
    values: dict[str, object] = {
        "last_status": status_of(outcome),
        "last_failure": failure_of(outcome),
        "lease_holder": None,
        "leased_until": None,
    }
    match step:
        case Retry(at=at, is_refusal=is_refusal):
            values |= {"next_attempt_at": at, "refusals": claimed.refusals + int(is_refusal)}
        case Settle(state=state):
            values |= {"state": state, "settled_at": now}
    written = tx.execute(
        update(LogoutDelivery)
        .where(_is_held(claimed))
        .values(**values)
        .returning(LogoutDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return written.scalar_one_or_none() is not None


def release(tx: Tx, claimed: Sequence[Claimed], *, now: datetime) -> int:
    """Give back notices that were leased but not attempted: due at once for any worker, and not counted as attempts."""
    if not claimed:
        return 0
    released = tx.execute(
        update(LogoutDelivery)
        .where(or_(*(_is_held(one) for one in claimed)))
        .values(attempts=LogoutDelivery.attempts - 1, next_attempt_at=now, lease_holder=None, leased_until=None)
        .returning(LogoutDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(released.all())


def _is_held(claimed: Claimed) -> ColumnElement[bool]:
    # The attempt number too: this very worker may have leased the row a second time after the first lease ran out.
    return and_(
        LogoutDelivery.id == claimed.id,
        LogoutDelivery.state == DeliveryState.PENDING,
        LogoutDelivery.lease_holder == claimed.holder,
        LogoutDelivery.attempts == claimed.attempts,
    )
