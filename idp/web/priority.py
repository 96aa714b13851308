"""Which requests may use the connections that are kept back when all others are taken: ends, and refreshes.

Slow pages must neither keep anybody from signing out or from revoking a token, nor sign out tools by refusing to
refresh. Introspection and userinfo are asked again; a person who wanted it to be over may not get to ask again.
"""

from flask import Flask, request

from idp.db.engine import goes_first

_ENDPOINTS = frozenset({"oauth.token_endpoint", "oauth.revocation_endpoint"})


def init_priority(app: Flask) -> None:
    """Mark each request's thread, and take the mark away with the request."""

    @app.before_request
    def mark() -> None:
        goes_first.set(is_urgent(request.endpoint or "", request.method))

    @app.teardown_request
    def unmark(_error: BaseException | None) -> None:
        goes_first.set(False)


def is_urgent(endpoint: str, method: str) -> bool:
    """Whether a request ends something or refreshes: token and revocation, logout, and every form of the account."""
    if endpoint in _ENDPOINTS:
        return True
    desk = endpoint.partition(".")[0]
    return desk == "logout" or (desk == "account" and method == "POST")
