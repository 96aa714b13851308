"""One line and one measurement per request: id, method, route, status, time, client. Never a path, a query or a header.

The route is the template (`/signed-out/<handle>`), since an address may itself be a secret; what a stranger invents
(paths, methods) is folded into one name, so that neither the log nor the metrics grow by it. The request's id is made
here and never taken from a header: a stranger could make two requests look like one.
"""

import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from flask import Flask, Request, Response, g, request

from idp.kit import metrics
from idp.kit.logs import KeptLogger, remember_request
from idp.settings import Settings
from idp.web.address import client_address
from idp.web.services import current_services

BEGUN = "idp.begun"
NO_ROUTE = "(none)"
OTHER_METHOD = "OTHER"
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# Asked every few seconds by machines: their lines would bury all others.
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})

_log = KeptLogger(__name__)


def route_of(asked: Request) -> str:
    """The template of the route that a request matched, without a single character of its address."""
    return asked.url_rule.rule if asked.url_rule is not None else NO_ROUTE


def init_access_log(app: Flask) -> None:
    """Name and time each request. Call it first: its hook after a request then runs last, on the finished answer."""
    app.before_request(_begin)
    app.after_request(_end)


class Begun(NamedTuple):
    """A request that was begun: its id, and when that was (`time.perf_counter`)."""

    request_id: str
    at: float


def begin() -> Begun:
    """Name a request, for the log lines of this thread too, and note the time."""
    begun = Begun(secrets.token_hex(8), time.perf_counter())
    remember_request(begun.request_id)
    return begun


def _begin() -> None:
    # What was begun on a shorter way (`idp.oauth.short_way`) is the same request. No header can put this here.
    g.request_id, g.request_began = request.environ.get(BEGUN) or begin()


def _end(response: Response) -> Response:
    began = g.pop("request_began", None)
    if began is None:  # an error while the answer was finished made a second one: the first is already on record
        return response
    seconds = time.perf_counter() - began
    record_request(
        route_of(request),
        request.method if request.method in _METHODS else OTHER_METHOD,
        response.status_code,
        seconds,
        client=lambda: client_address(request),
        settings=current_services().settings,
    )
    return response


def record_request(
    route: str,
    method: str,
    status: int,
    seconds: float,
    *,
    client: Callable[[], str],
    settings: Settings,
    **more: str,
) -> None:
    """Count and log one answer. `more`: what the log line shall say besides, in place of what the thread remembers."""
    metrics.observe_request(route, method, status, seconds)
    if settings.access_log:
        log = _log.bound()
        (log.debug if route in _PROBES else log.info)(
            "request",
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            client=client(),
            **more,
        )
