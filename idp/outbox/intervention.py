"""What an operator does to notices by hand: try a settled one anew, give up one that waits. Each leaves an audit row.

The one way back from an end state (`idp.outbox.settle` has none): explicit, for rows that are named or that died. A
notice that a worker holds just now can be given up: the worker's late result is then dropped by its fence.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, func, select, text, update

from idp import audit
from idp.db.engine import Tx
from idp.db.models import Client, DeliveryState, LogoutDelivery
from idp.kit.host_limits import host_of
from idp.outbox.enqueue import NOTIFY_CHANNEL
from idp.outbox.inspection import IS_DEAD

GIVEN_UP_BY_HAND = "given up by an operator"
AT_ONCE = 500


def redeliver(tx: Tx, *, delivery_ids: Sequence[str], to_current_address: bool, actor: str, now: datetime) -> list[str]:
    """Let the workers try these settled notices anew, as if they had just been written; returns which.

    Sent to the address of their snapshot, or with `to_current_address` to the one that the application has registered
    today. Left alone: what is unknown, still on its way, or has no address to be sent to.
    """
    rows = tx.execute(
        select(LogoutDelivery.id, LogoutDelivery.client_id, LogoutDelivery.uri, Client.backchannel_logout_uri)
        .join(Client, Client.id == LogoutDelivery.client_id)
        .where(LogoutDelivery.id.in_(delivery_ids), LogoutDelivery.state != DeliveryState.PENDING)
        .order_by(LogoutDelivery.id)
        .with_for_update(key_share=True, of=LogoutDelivery)
    ).all()
    done: list[str] = []
    for row in rows:
        uri = row.backchannel_logout_uri if to_current_address else row.uri
        if uri is None:
            continue
        tx.execute(
            update(LogoutDelivery)
            .where(LogoutDelivery.id == row.id)
            .values(
                uri=uri,
                host=host_of(uri),
                state=DeliveryState.PENDING,
                settled_at=None,
                attempts=0,
                refusals=0,
                # From now: the day that a notice is tried for begins anew.
                created_at=now,
                next_attempt_at=now,
                leased_until=None,
                lease_holder=None,
            )
            .execution_options(synchronize_session=False)
        )
        done.append(row.id)
    if done:
        _record(tx, "notices_redelivered", {row.client_id for row in rows}, done, actor=actor, now=now)
        if tx.get_bind().dialect.name == "postgresql":
            tx.execute(text("SELECT pg_notify(:channel, '')"), {"channel": NOTIFY_CHANNEL})
    return done


def give_up(tx: Tx, *, delivery_ids: Sequence[str], actor: str, now: datetime) -> list[str]:
    """Stop trying these waiting notices, visibly; returns which. What is unknown or settled is left alone."""
    rows = tx.execute(
        update(LogoutDelivery)
        .where(LogoutDelivery.id.in_(delivery_ids), LogoutDelivery.state == DeliveryState.PENDING)
        .values(
            state=DeliveryState.GAVE_UP,
            settled_at=now,
            last_failure=GIVEN_UP_BY_HAND,
            leased_until=None,
            lease_holder=None,
        )
        .returning(LogoutDelivery.id, LogoutDelivery.client_id)
        .execution_options(synchronize_session=False)
    ).all()
    done = sorted(row.id for row in rows)
    if done:
        _record(tx, "notices_given_up", {row.client_id for row in rows}, done, actor=actor, now=now)
    return done


def find_of_client(tx: Tx, *, client_id: str, dead: bool, until: datetime) -> list[str]:
    """Up to `AT_ONCE` notices of an application: those that died up to a moment, or those that wait.

    The moment keeps a caller that asks until none is left from finding the ones that died again meanwhile.
    """
    which = and_(IS_DEAD, LogoutDelivery.settled_at <= until) if dead else LogoutDelivery.state == DeliveryState.PENDING
    query = select(LogoutDelivery.id).where(LogoutDelivery.client_id == client_id, which)
    return list(tx.scalars(query.order_by(LogoutDelivery.id).limit(AT_ONCE)))


def count_known(tx: Tx, delivery_ids: Sequence[str]) -> int:
    """How many of these exist."""
    return tx.scalars(select(func.count()).select_from(LogoutDelivery).where(LogoutDelivery.id.in_(delivery_ids))).one()


def _record(tx: Tx, kind: str, clients: set[str], deliveries: Sequence[str], *, actor: str, now: datetime) -> None:
    only = next(iter(clients)) if len(clients) == 1 else None
    details = {"deliveries": list(deliveries)[:100], "count": len(deliveries)}
    audit.record(tx, kind, now=now, client_id=only, actor=actor, details=details)
