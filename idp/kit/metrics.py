"""The numbers that a process counts, for Prometheus: what they are called, and one function for each event.

Called at desks and by the worker, after the commit, with what a rule returned; never by rules or inside transactions:
a rolled back transaction has not happened, and a count is not worth a lock. Labels are closed sets. With
PROMETHEUS_MULTIPROC_DIR (`idp serve` sets it) the processes of a run add up; without it each counts for itself.
What the database knows better (queue, workers) is read when asked for, in `idp.operation`.
"""

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REFRESH_OUTCOMES = ("rotated", "held", "skipped", "reused", "ahead", "refused")
DELIVERY_RESULTS = ("told", "retry", "refused", "gave_up", "lost_lease")

_requests = Counter("idp_requests", "Requests answered.", ["route", "method", "status"], registry=REGISTRY)
_request_seconds = Histogram(
    "idp_request_seconds", "Time to make an answer.", ["route", "method"], buckets=_SECONDS, registry=REGISTRY
)
_refreshes = Counter("idp_refreshes", "Refresh tokens presented, by what came of it.", ["outcome"], registry=REGISTRY)
_ends = Counter(
    "idp_sessions_ended", "Sessions, or single applications' parts in them, that ended.", ["reason"], registry=REGISTRY
)
_deliveries = Counter(
    "idp_delivery_attempts", "Attempts to tell an application, by what followed.", ["result"], registry=REGISTRY
)
_guesses = Counter("idp_guesses_refused", "Passwords not even checked: too many attempts.", registry=REGISTRY)

# `labels()` costs more than counting does; both sets are closed (routes of the application, methods, status classes).
_request_series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
_refresh_series = {outcome: _refreshes.labels(outcome) for outcome in REFRESH_OUTCOMES}
_delivery_series = {result: _deliveries.labels(result) for result in DELIVERY_RESULTS}


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """One answer. `route` is a template, `method` one of a closed set, `status` the HTTP status."""
    key = route, method, status // 100
    series = _request_series.get(key)
    if series is None:
        series = _requests.labels(route, method, f"{key[2]}xx"), _request_seconds.labels(route, method)
        _request_series[key] = series
    series[0].inc()
    series[1].observe(seconds)


def count_refresh(outcome: str) -> None:
    """One refresh token presented; `outcome` is one of `REFRESH_OUTCOMES`."""
    _refresh_series[outcome].inc()


def count_ends(reason: str, number: int = 1) -> None:
    """`number` sessions (or participations, where no session ended) ended for one of the `EndReason`s."""
    if number:
        _ends.labels(str(reason)).inc(number)


def count_delivery(result: str) -> None:
    """One attempt to deliver a notice; `result` is one of `DELIVERY_RESULTS`."""
    _delivery_series[result].inc()


def count_refused_guess() -> None:
    """A guess that was refused before the password was looked at."""
    _guesses.inc()


def render(*, folder: Path | None, current: Collector) -> bytes:
    """The text that Prometheus reads: what was counted (in all processes, if they share `folder`) and `current`."""
    registry = REGISTRY
    if folder is not None:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    now = CollectorRegistry()
    now.register(current)
    return generate_latest(registry) + generate_latest(now)
