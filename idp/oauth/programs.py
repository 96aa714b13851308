"""The routes for programs: token, revocation, introspection, userinfo, JWKS. Each parses, calls, answers.

CORS is open without credentials where applications in browsers need it (design §8): every answer of token, revocation,
userinfo, JWKS and discovery, errors included. Introspection is for servers and has none; authorize and logout never.
"""

from authlib.oauth2.rfc6749 import OAuth2Error
from flask import Blueprint, Response, request

from idp.oauth.discovery import jwks, metadata
from idp.oauth.grants import GRANTS
from idp.oauth.introspect import introspect
from idp.oauth.revoke import revoke
from idp.oauth.server import Server, error_response, json_response, read_form
from idp.oauth.userinfo import userinfo
from idp.web import csrf_exempt, current_services

_PREFLIGHT_SECONDS = "7200"
_OPEN_ENDPOINTS = frozenset(
    {
        "discovery",
        "inserted_oauth_authorization_server",
        "inserted_openid_configuration",
        "jwks_document",
        "revocation_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
    }
)

server = Server(GRANTS)


def register(blueprint: Blueprint) -> None:
    """Put the routes on the desk's blueprint."""
    for path, view, methods in (
        ("/.well-known/openid-configuration", discovery, ["GET"]),
        ("/.well-known/oauth-authorization-server", discovery, ["GET"]),
        ("/oauth2/jwks", jwks_document, ["GET"]),
        ("/oauth2/token", token_endpoint, ["POST"]),
        ("/oauth2/revoke", revocation_endpoint, ["POST"]),
        ("/oauth2/introspect", introspection_endpoint, ["POST"]),
        ("/oauth2/userinfo", userinfo_endpoint, ["GET", "POST"]),
    ):
        is_open = view.__name__ in _OPEN_ENDPOINTS
        blueprint.add_url_rule(
            path,
            view.__name__,
            csrf_exempt(view),
            methods=[*methods, "OPTIONS"] if is_open else methods,
            provide_automatic_options=not is_open,
        )
    blueprint.before_request(answer_preflight)
    blueprint.after_request(open_to_browsers)


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
    """Let scripts of any origin read the answer. Never with credentials: cookies mean nothing at these endpoints."""
    if _is_open():
        response.headers.add("Access-Control-Allow-Origin", "*")
        response.headers.add("Access-Control-Expose-Headers", "WWW-Authenticate")
    return response


def _is_open() -> bool:
    return (request.endpoint or "").rpartition(".")[2] in _OPEN_ENDPOINTS


def discovery() -> Response:
    """OIDC Discovery §4, RFC 8414 §3."""
    return _cacheable(json_response(metadata()))


def jwks_document() -> Response:
    """RFC 7517 §5."""
    return _cacheable(json_response(jwks()))


def token_endpoint() -> Response:
    """RFC 6749 §3.2."""
    return server.answer_token_request(request)


def revocation_endpoint() -> Response:
    """RFC 7009 §2."""
    try:
        revoke(request.headers, read_form(request))
    except OAuth2Error as error:
        return error_response(error)
    return json_response({})


def introspection_endpoint() -> Response:
    """RFC 7662 §2."""
    try:
        return json_response(introspect(request.headers, read_form(request)))
    except OAuth2Error as error:
        return error_response(error)


def userinfo_endpoint() -> Response:
    """OIDC Core §5.3."""
    try:
        return json_response(userinfo(request))
    except OAuth2Error as error:
        return error_response(error)


def _cacheable(response: Response) -> Response:
    # Public and the same for everybody; short, so that a key published ahead is known before it signs.
    seconds = int(current_services().settings.jwks_cache_lifetime.total_seconds())
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    del response.headers["Pragma"]
    return response
