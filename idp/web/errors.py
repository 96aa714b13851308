"""Errors as answers: pages for people, JSON for programs, and never more than they may know.

Which of the two is decided by the endpoint, not by what the request claims to accept. The cause of a 500 goes to the
log under the request's id, never to the answer. A database or key store that cannot be asked is 503, never a "yes" or
a "no" (I17).
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from flask import Flask, Response, current_app, jsonify, request
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped]
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, InternalServerError

from idp.db.engine import DatabaseBusy
from idp.db.trouble import describe
from idp.keys import KeyUnavailable
from idp.users import PasswordChecksBusy
from idp.web.access_log import route_of
from idp.web.outages import Outages
from idp.web.pages import error_page
from idp.web.paths import own_path
from idp.web.services import current_services

log = structlog.get_logger(__name__)

RETRY_SECONDS = "5"
_OUTAGES = "idp.outages"
# The two OAuth endpoints that people's browsers visit; everything else below /oauth2 speaks JSON.
_PAGES_BELOW_OAUTH = ("/oauth2/authorize", "/oauth2/logout")
_PROGRAMS = ("/oauth2/", "/.well-known/", "/healthz", "/readyz", "/metrics", "/api/")


@dataclass(frozen=True)
class _Wording:
    code: str
    title: str
    happened: str
    todo: str


_START_AGAIN = "Go back to where you came from and start again."
_TRY_AGAIN = "Try again in a moment. If that does not help, tell the people who run this service the number below."
_WORDS = {
    400: _Wording(
        "invalid_request",
        "This request is not valid",
        "Your browser sent something that cannot be read here.",
        _START_AGAIN,
    ),
    403: _Wording(
        "access_denied",
        "You may not do this",
        "Your account has no right to what you asked for.",
        "If you think that it should, tell the people who run this service.",
    ),
    404: _Wording(
        "not_found",
        "There is nothing here",
        "The address is wrong, or what it showed is no longer kept.",
        "Check the address, or start from your account page.",
    ),
    405: _Wording(
        "invalid_request",
        "This address works differently",
        "It cannot be opened in the way that your browser tried.",
        _START_AGAIN,
    ),
    413: _Wording(
        "invalid_request", "That was too much", "Your browser sent more than is accepted here.", _START_AGAIN
    ),
    429: _Wording(
        "slow_down",
        "Too many attempts",
        "There were too many attempts in a short time.",
        "Wait a while, then try again.",
    ),
    500: _Wording(
        "server_error", "Something went wrong here", "The fault is ours. Nothing was changed half-way.", _TRY_AGAIN
    ),
    503: _Wording(
        "temporarily_unavailable",
        "Not available just now",
        "This service is busy or being looked after.",
        _TRY_AGAIN,
    ),
}


def init_errors(app: Flask) -> None:
    """Answer every error in our own words."""
    app.extensions[_OUTAGES] = Outages()
    app.register_error_handler(CSRFError, _answer_csrf)
    app.register_error_handler(HTTPException, _answer_http)
    handler: Callable[[Exception], Response] = _answer_unavailable
    for kind in (OperationalError, InterfaceError, PoolTimeout, DatabaseBusy, KeyUnavailable, PasswordChecksBusy):
        app.register_error_handler(kind, handler)


def speaks_json(path: str) -> bool:
    """Whether the endpoint at `path` (below the issuer's path) is for programs."""
    return path.startswith(_PROGRAMS) and not path.startswith(_PAGES_BELOW_OAUTH)


def _answer_http(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if error.response is not None or status < 400:
        return error  # a redirect of Werkzeug's own, or an answer that a desk has made
    if status >= 500:
        cause = error.original_exception if isinstance(error, InternalServerError) else error
        log.error("request_failed", route=route_of(request), status=status, exc_info=cause)
    response = _answer(status)
    for name, value in error.get_headers(request.environ):
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


def _answer_unavailable(error: Exception) -> Response:
    is_ours = isinstance(error, (DatabaseBusy, KeyUnavailable, PasswordChecksBusy))
    words = f"{type(error).__name__}: {error}" if is_ours else describe(error)
    current_app.extensions[_OUTAGES].tell(words, route=route_of(request))
    response = _answer(503)
    response.headers["Retry-After"] = RETRY_SECONDS
    return response


def _answer_csrf(error: CSRFError) -> Response:
    log.info("form_refused", route=route_of(request), reason=error.description)
    back = own_path(request.full_path.rstrip("?"))
    return error_page(
        400,
        "This page is no longer valid",
        "It was opened before you signed in or out here, or your browser refuses our cookies. Nothing was done.",
        "Open the page again and repeat what you did.",
        action=("Open it again", back) if back else None,
    )


def _answer(status: int) -> Response:
    words = _WORDS.get(status) or (_WORDS[500] if status >= 500 else _WORDS[400])
    if speaks_json(request.path.removeprefix(current_services().settings.issuer_path)):
        response = jsonify(error=words.code, error_description=words.happened)
        response.status_code = status
        return response
    return error_page(status, words.title, words.happened, words.todo, home=status in {403, 404})
