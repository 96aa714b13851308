"""What `/metrics` says: the counts of all processes of this run, and what the database knows of queue and workers now.

The second part is the same on every node (take the maximum, not the sum). It is read at most once a second and in
bounded time; when the database can't be asked, the counts still come, with `idp_database_up 0`.
"""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from idp import mail, outbox
from idp.kit import metrics
from idp.kit.opaque import Secret
from idp.kit.run_folder import metrics_folder
from idp.mail import MailBacklog
from idp.operation.bounded import Bounded
from idp.outbox import Backlog
from idp.web.services import Services

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Numbers:
    """`report_age` None: no worker has reported within a day."""

    backlog: Backlog
    waiting_mail: MailBacklog
    report_age: timedelta | None


class _Current(Collector):
    """What holds at this moment, for the whole installation."""

    def __init__(self, numbers: _Numbers | None) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        info = GaugeMetricFamily("idp_info", "The version that runs here.", labels=["version"])
        info.add_metric([version("idp")], 1)
        yield info
        numbers = self._numbers
        yield GaugeMetricFamily("idp_database_up", "Whether the database could be asked.", value=numbers is not None)
        if numbers is None:
            return
        backlog, waiting = numbers.backlog, numbers.waiting_mail
        age = numbers.report_age.total_seconds() if numbers.report_age is not None else float("inf")
        for name, text, value in (
            ("idp_notices_pending", "Notices neither delivered nor given up.", backlog.pending),
            ("idp_notices_oldest_seconds", "Age of the oldest of them.", backlog.oldest.total_seconds()),
            ("idp_notices_overdue_seconds", "How long one is due untaken.", backlog.overdue.total_seconds()),
            ("idp_mails_pending", "Mails neither sent nor given up.", waiting.pending),
            ("idp_mails_oldest_seconds", "Age of the oldest of them.", waiting.oldest.total_seconds()),
            ("idp_mails_overdue_seconds", "How long one is due untaken.", waiting.overdue.total_seconds()),
            ("idp_mails_given_up", "Mails given up within a day.", waiting.given_up),
            ("idp_worker_heartbeat_age_seconds", "Since any worker reported; +Inf: none within a day.", age),
        ):
            yield GaugeMetricFamily(name, text, value=value)


class Exposition:
    """Renders the metrics of this run; safe for threads."""

    def __init__(self, services: Services, *, folder: Path | None = None) -> None:
        """`folder`: where the processes of the run keep their numbers, for one that is not one of them."""
        self._services = services
        self._folder = folder
        self._numbers: Bounded[_Numbers | None] = Bounded(self._measure, too_late=None)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return metrics.render(folder=self._folder or metrics_folder(), current=_Current(self._numbers.ask()))

    def _measure(self) -> _Numbers | None:
        services = self._services
        try:
            now = services.clock.now()
            with services.database.reading() as tx:
                backlog = outbox.measure_backlog(tx, now=now)
                waiting_mail = mail.measure_mail(tx, now=now)
                seen_at = outbox.find_last_report(tx)
        except Exception as error:
            log.warning("metrics_not_measured", problem=type(error).__name__, exc_info=error)
            return None
        age = max(timedelta(0), now - seen_at) if seen_at is not None else None
        return _Numbers(backlog, waiting_mail, age)


def may_read(authorization: str | None, token: Secret | None) -> bool:
    """Whether a request with this `Authorization` header may see metrics. Without a token the listener decides."""
    if token is None:
        return True
    scheme, _, given = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("utf-8", "surrogatepass"), token.reveal().encode()
    )


Render = Callable[[], bytes]
