"""The short way of a program's request: what is nothing unusual is answered in front of Flask, by the same functions.

A refresh costs less than the request and application contexts, hooks, form parser and response object around it. Here a
request is a path, a method, Authorization and a small, plain form, which is what every client sends. Whatever is not
exactly that (a query, other methods, an odd length or content type, a byte that is no text, a field too many) goes the
ordinary way untouched, and an error on the way is raised again there: refusals and outages have one home
(docs/adr/0017). What both do is in `idp.oauth.endpoints` and `idp.web`.
"""

import re
import time
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from flask import Flask

from idp.db.engine import goes_first
from idp.oauth.asked import FORM, HEADERS, Asked
from idp.oauth.endpoints import ENDPOINTS, Endpoint
from idp.oauth.programs import FAILED, OPEN_TO_BROWSERS
from idp.web.access_log import BEGUN, begin, record_request
from idp.web.address import find_client_address
from idp.web.headers import REQUEST_ID, headers_of_answers
from idp.web.limits import MAXIMUM_BODY, MAXIMUM_FIELDS, is_readable
from idp.web.priority import is_urgent
from idp.web.services import EXTENSION, Services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_NUMBER = re.compile(r"[0-9]{1,8}\Z")
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class _Way(NamedTuple):
    """An endpoint, and what is known of all answers there."""

    endpoint: Endpoint
    goes_first: bool
    headers: list[tuple[str, str]]

    @classmethod
    def to(cls, endpoint: Endpoint, others: list[tuple[str, str]]) -> "_Way":
        """`others`: headers that no answer says itself."""
        (is_first,) = {is_urgent(f"oauth.{endpoint.name}", method) for method in endpoint.methods}
        return cls(endpoint, is_first, [*(OPEN_TO_BROWSERS if endpoint.is_open else ()), *others])


class ShortWay:
    """A WSGI application around another."""

    def __init__(self, app: Flask, prefix: str) -> None:
        """`prefix`: the issuer's path."""
        self._inner: WSGIApplication = app.wsgi_app
        self._services: Services = app.extensions[EXTENSION]
        own = {name for name, _ in HEADERS}
        others = [header for header in headers_of_answers(self._services.settings).items() if header[0] not in own]
        self._ways = {f"{prefix}{path}": _Way.to(endpoint, others) for path, endpoint in ENDPOINTS.items()}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Answer one request."""
        path = environ["PATH_INFO"]
        way = self._ways.get(path)
        asked = None if way is None else self._read(way.endpoint, environ)
        if way is None or asked is None:
            return self._inner(environ, start_response)
        begun = begin()
        goes_first.set(way.goes_first)
        try:
            answer = way.endpoint.answer(asked)
        except Exception as error:  # noqa: BLE001 - raised again where all errors are answered
            environ[BEGUN], environ[FAILED] = begun, error
            return self._inner(environ, start_response)
        finally:
            goes_first.set(False)
        length, request_id = ("Content-Length", str(len(answer.body))), (REQUEST_ID, begun.request_id)
        headers = [*answer.headers, length, *way.headers, request_id]
        settings = self._services.settings
        peer, forwarded = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        record_request(
            path,
            environ["REQUEST_METHOD"],
            answer.status,
            time.perf_counter() - begun.at,
            client=lambda: find_client_address(peer, forwarded, trusted=settings.trusted_proxies),
            settings=settings,
        )
        start_response(_STATUS_LINES[answer.status], headers)
        return [answer.body]

    def _read(self, endpoint: Endpoint, environ: "WSGIEnvironment") -> Asked | None:
        """What was asked, when it is plain; else None, and the body can still be read."""
        if environ["REQUEST_METHOD"] not in endpoint.methods or environ.get("QUERY_STRING"):
            return None
        fields = None
        if environ["REQUEST_METHOD"] == "POST":
            fields = _read_fields(environ)
            if fields is None:
                return None
        elif environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ:
            return None
        authorization = environ.get("HTTP_AUTHORIZATION")
        return Asked(self._services, [] if authorization is None else [authorization], fields)


def _read_fields(environ: "WSGIEnvironment") -> list[tuple[str, str]] | None:
    length, kind = environ.get("CONTENT_LENGTH") or "", environ.get("CONTENT_TYPE") or ""
    if (
        kind.partition(";")[0] != FORM
        or "HTTP_TRANSFER_ENCODING" in environ
        or not _NUMBER.match(length)
        or int(length) > MAXIMUM_BODY
    ):
        return None
    try:
        body = environ["wsgi.input"].read(int(length))
    except OSError:  # the ordinary way meets it again
        return None
    environ["wsgi.input"] = BytesIO(body)
    if len(body) != int(length):
        return None
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAXIMUM_FIELDS)
    except ValueError:  # an undecodable byte, or a field too many
        return None
    return fields if all(is_readable(name) and is_readable(value) for name, value in fields) else None


def go_the_short_way(app: Flask, prefix: str) -> None:
    """Put it in front of the application."""
    app.wsgi_app = ShortWay(app, prefix)  # type: ignore[method-assign]
