"""This browser, before and beyond any sign-in: its binding cookie, and the CSRF token that hangs on it.

The binding is a random value in a signed, HttpOnly cookie of its own; stored requests and receipts are bound to its
hash, so that a link stolen from one browser is worth nothing in another. Flask-WTF keeps the CSRF token in the same
cookie. Both are no credential. The token is renewed at every sign-in and sign-out: one learnt before is useless after.
"""

import secrets
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Request, Response, g, request
from flask import session as browser_cookie
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

from idp.kit.keyring import Keyring
from idp.kit.opaque import base64url
from idp.web.cookies import cookie_name
from idp.web.services import current_services

_BINDING = "browser"
_TOKEN = "csrf_token"
_PURPOSE = "browser-cookie"


class _FormProtection(CSRFProtect):  # type: ignore[misc]
    """Flask-WTF's token, and a second lock: a form that another site sent is refused by what the browser says of it.

    Fetch Metadata is absent in old browsers, and `Origin` is "null" after a no-referrer page; so absence proves nothing
    and only a clear statement refuses.
    """

    def protect(self, apply_exemptions: bool = False) -> None:
        """Raise CSRFError for a form that is not from our own page in this browser."""
        super().protect(apply_exemptions)
        if not g.get("csrf_valid"):
            return  # exempt, or a method that changes nothing
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise CSRFError("The form was sent from another site.")
        origin = request.headers.get("Origin", "null")
        if origin != "null" and not _is_our_origin(origin):
            raise CSRFError("The form was sent from another site.")


class _BrowserCookie(SecureCookieSessionInterface):
    """Flask's signed cookie, left alone by requests that bring none: programs send most of all requests."""

    _serializer: Any = None

    def get_signing_serializer(self, app: Flask) -> Any:
        """Made once: the keys stay what they are for as long as the process lives."""
        if self._serializer is None:
            self._serializer = super().get_signing_serializer(app)
        return self._serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """What the cookie holds. Flask makes ready to verify before it looks whether there is one."""
        if self.get_cookie_name(app) not in request.cookies:
            return SecureCookieSession()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie if need be; whoever neither read nor changed it has nothing to say."""
        if session.accessed or session.modified:
            super().save_session(app, session, response)


csrf = _FormProtection()
View = TypeVar("View", bound=Callable[..., object])


def csrf_exempt(view: View) -> View:
    """Leave a view without the CSRF check: for endpoints that no cookie speaks for, or that change nothing by it."""
    csrf.exempt(view)
    return view


def init_browser_cookie(app: Flask) -> None:
    """Configure Flask's signed cookie as our binding cookie, and CSRF protection for every form of ours."""
    services = app.extensions["idp"]
    settings = services.settings
    app.config.update(
        SECRET_KEY=base64url(services.keyring.key(_PURPOSE)),
        SECRET_KEY_FALLBACKS=[base64url(Keyring(previous).key(_PURPOSE)) for previous in settings.secret_previous],
        SESSION_COOKIE_NAME=cookie_name(settings, "browser"),
        SESSION_COOKIE_SECURE=not settings.is_loopback_http,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        # The token is as good as the cookie it hangs on: a page left open over lunch must still work.
        WTF_CSRF_TIME_LIMIT=None,
        # Its check of the Referer trusts the Host header and fails behind TLS proxies; `_FormProtection` has ours.
        WTF_CSRF_SSL_STRICT=False,
    )
    app.session_interface = _BrowserCookie()
    csrf.init_app(app)


def browser_binding() -> str:
    """The random value of this browser; a new one, set with the answer, when it has none."""
    binding = browser_cookie.get(_BINDING)
    if not isinstance(binding, str):
        binding = secrets.token_urlsafe(16)
        browser_cookie[_BINDING] = binding
    return binding


def known_browser_binding() -> str | None:
    """The value if this browser has one; unlike `browser_binding` this never sets a cookie."""
    binding = browser_cookie.get(_BINDING)
    return binding if isinstance(binding, str) else None


def renew_csrf() -> None:
    """Forget the CSRF token; the next page makes a new one. At every sign-in and sign-out (session fixation)."""
    browser_cookie.pop(_TOKEN, None)
    g.pop(_TOKEN, None)


def _is_our_origin(origin: str) -> bool:
    ours = urlsplit(current_services().settings.issuer_origin)
    try:
        theirs = urlsplit(origin)
        return (theirs.scheme, theirs.hostname, theirs.port) == (ours.scheme, ours.hostname, ours.port)
    except ValueError:
        return False
