"""Discovery and JWKS are answered with bytes that were made before, and before Flask looks at the request.

Every application asks for them, some for each token that they check, and the answer is the same for everybody. What is
kept is the very answer of the ordinary way, which therefore has no second home; only the request's id is new each
time. It is made anew when other keys are published. Whatever is not a plain GET goes the ordinary way, errors too.
"""

import secrets
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask

from idp.keys import KeyUnavailable
from idp.web.access_log import record_request
from idp.web.address import find_client_address
from idp.web.headers import REQUEST_ID
from idp.web.services import EXTENSION, Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class _Kept:
    version: Hashable
    headers: tuple[tuple[str, str], ...]
    body: bytes


class PreparedDocuments:
    """A WSGI application around another: it answers what it has kept, and keeps what the other answers."""

    def __init__(self, app: Flask, versions: Mapping[str, Callable[[Services], Hashable]]) -> None:
        """`versions`: for each path, by what one tells that the document has changed."""
        self._inner: WSGIApplication = app.wsgi_app
        self._services: Services = app.extensions[EXTENSION]
        self._versions = versions
        self._kept: dict[str, _Kept] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        find_version = self._versions.get(path)
        if find_version is None or environ["REQUEST_METHOD"] != "GET" or environ.get("QUERY_STRING"):
            return self._inner(environ, start_response)
        began = time.perf_counter()
        try:
            version = find_version(self._services)
        except KeyUnavailable:
            return self._inner(environ, start_response)
        kept = self._kept.get(path)
        if kept is None or kept.version != version:
            return self._make(path, version, environ, start_response)
        request_id = secrets.token_hex(8)
        start_response("200 OK", [*kept.headers, (REQUEST_ID, request_id)])
        peer, forwarded = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        record_request(
            path,
            "GET",
            200,
            time.perf_counter() - began,
            client=lambda: find_client_address(peer, forwarded, trusted=self._services.settings.trusted_proxies),
            settings=self._services.settings,
            request_id=request_id,
        )
        return [kept.body]

    def _make(
        self, path: str, version: Hashable, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """The ordinary answer, which is kept when it is good."""
        said: list[tuple[str, list[tuple[str, str]]]] = []

        def listen(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            said.append((status, headers))
            return start_response(status, headers, *error)

        answer = self._inner(environ, listen)
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = said[-1]
        if status.startswith("200 "):
            same = tuple((name, value) for name, value in headers if name != REQUEST_ID)
            self._kept[path] = _Kept(version, same, body)
        return [body]


def prepare_documents(app: Flask, prefix: str) -> None:
    """Put it in front of the application. `prefix`: the issuer's path."""
    app.wsgi_app = PreparedDocuments(  # type: ignore[method-assign]
        app,
        {
            f"{prefix}/.well-known/openid-configuration": lambda services: None,
            f"{prefix}/.well-known/oauth-authorization-server": lambda services: None,
            f"{prefix}/oauth2/jwks": lambda services: services.keys.published(services.clock.now()),
        },
    )
