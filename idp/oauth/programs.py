"""Flask's routes for programs: token, revocation, introspection, userinfo, JWKS, discovery. Each only translates.

CORS is open without credentials where applications in browsers need it (design §8): every answer of token, revocation,
userinfo, JWKS and discovery, errors included. Introspection is for servers and has none; authorize and logout never.
"""

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, request

from idp.oauth.asked import json_answer, read_flask, to_flask
from idp.oauth.discovery import jwks, metadata
from idp.oauth.endpoints import ENDPOINTS, Endpoint
from idp.web import csrf_exempt, current_services

# Where the short way leaves its error, for the handlers of all errors.
FAILED = "idp.failed"
_PREFLIGHT_SECONDS = "7200"
# What scripts of any origin may read and see, never with credentials: cookies mean nothing at these endpoints.
OPEN_TO_BROWSERS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "WWW-Authenticate"))
_OPEN_DOCUMENTS = {
    "discovery",
    "inserted_oauth_authorization_server",
    "inserted_openid_configuration",
    "jwks_document",
}
_OPEN_ENDPOINTS = _OPEN_DOCUMENTS | {endpoint.name for endpoint in ENDPOINTS.values() if endpoint.is_open}


def register(blueprint: Blueprint) -> None:
    """Put the routes on the desk's blueprint."""
    for path, view in (
        ("/.well-known/openid-configuration", discovery),
        ("/.well-known/oauth-authorization-server", discovery),
        ("/oauth2/jwks", jwks_document),
    ):
        _add(blueprint, path, view.__name__, view, ("GET",))
    for path, endpoint in ENDPOINTS.items():
        _add(blueprint, path, endpoint.name, _view(endpoint), endpoint.methods)
    blueprint.before_request(answer_preflight)
    blueprint.after_request(open_to_browsers)


def _add(blueprint: Blueprint, path: str, name: str, view: Callable[[], Response], methods: tuple[str, ...]) -> None:
    is_open = name in _OPEN_ENDPOINTS
    blueprint.add_url_rule(
        path,
        name,
        csrf_exempt(view),
        methods=[*methods, "OPTIONS"] if is_open else methods,
        provide_automatic_options=not is_open,
    )


def _view(endpoint: Endpoint) -> Callable[[], Response]:
    def view() -> Response:
        failed = request.environ.pop(FAILED, None)
        if failed is not None:
            raise failed
        return to_flask(endpoint.answer(read_flask(request)))

    view.__name__ = endpoint.name
    return view


def answer_preflight() -> Response | None:
    """What a browser asks before it lets a script of another origin call us (Fetch §3.2.2)."""
    if request.method != "OPTIONS" or not _is_open():
        return None
    response = Response(status=204)
    rule = request.url_rule
    response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted((rule.methods if rule else None) or ()))
    response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
    response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return response


def open_to_browsers(response: Response) -> Response:
    """Let scripts of any origin read the answer."""
    if _is_open():
        response.headers.extend(OPEN_TO_BROWSERS)
    return response


def _is_open() -> bool:
    return (request.endpoint or "").rpartition(".")[2] in _OPEN_ENDPOINTS


def discovery() -> Response:
    """OIDC Discovery §4, RFC 8414 §3."""
    return _cacheable(metadata())


def jwks_document() -> Response:
    """RFC 7517 §5."""
    return _cacheable(jwks())


def _cacheable(document: Mapping[str, object]) -> Response:
    response = to_flask(json_answer(document))
    # Public and the same for everybody; short, so that a key published ahead is known before it signs.
    seconds = int(current_services().settings.jwks_cache_lifetime.total_seconds())
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    del response.headers["Pragma"]
    return response
