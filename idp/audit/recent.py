"""Reading the trail for `idp doctor`: where people sign in from, as this service sees it."""

from datetime import datetime

from sqlalchemy import select

from idp.db.engine import Tx
from idp.db.models import AuditEvent

_LOOK_AT = 1000


def find_sign_in_addresses(tx: Tx, *, since: datetime, limit: int = 50) -> list[str]:
    """The client addresses of the latest sign-ins since a moment, the newest first, with repetitions."""
    latest = (
        select(AuditEvent.kind, AuditEvent.ip_address, AuditEvent.occurred_at)
        .where(AuditEvent.occurred_at > since)
        .order_by(AuditEvent.occurred_at.desc())
        .limit(_LOOK_AT)
        .subquery()
    )
    return list(
        tx.scalars(
            select(latest.c.ip_address)
            .where(latest.c.kind == "sign_in", latest.c.ip_address != "")
            .order_by(latest.c.occurred_at.desc())
            .limit(limit)
        )
    )
