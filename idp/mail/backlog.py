"""How much mail waits, and how much was given up lately: for metrics, readiness and `idp doctor`. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from idp.db.engine import Tx
from idp.db.models import MailMessage, MailState
from idp.mail.queue import IS_PENDING

LATELY = timedelta(days=1)
_NONE = timedelta(0)


@dataclass(frozen=True)
class MailBacklog:
    """Messages neither sent nor given up, and those given up within `LATELY`.

    `oldest`: how long the oldest has waited, a mail server that is down for hours included. `overdue`: how long one has
    been due without a worker taking it.
    """

    pending: int
    oldest: timedelta
    overdue: timedelta
    given_up: int


def measure_mail(tx: Tx, *, now: datetime) -> MailBacklog:
    """The waiting mail as of `now`. A message under lease is not due."""
    pending, created_at, due_at = tx.execute(
        select(func.count(), func.min(MailMessage.created_at), func.min(MailMessage.next_attempt_at)).where(IS_PENDING)
    ).one()
    given_up = tx.scalars(
        select(func.count()).where(MailMessage.settled_at > now - LATELY, MailMessage.state == MailState.GAVE_UP)
    ).one()
    return MailBacklog(pending, _since(created_at, now), _since(due_at, now), given_up)


def _since(moment: datetime | None, now: datetime) -> timedelta:
    return _NONE if moment is None else max(_NONE, now - moment)
