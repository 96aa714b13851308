"""The session cookie: its name, its flags, reading and writing it.

`__Host-` makes browsers refuse the cookie from a subdomain or without Secure, so nobody can plant one (RFC 6265bis
§4.1.3.2). Prefix and Secure go only for an http issuer on this machine. The value is `identifier.secret`; whether it is
worth anything is decided by the database at every request, never by the cookie's own age.
"""

from datetime import timedelta

from flask import Request, Response

from idp.kit.clear_site_data import header_value
from idp.kit.opaque import Secret
from idp.settings import Settings
from idp.web.services import current_services

MAXIMUM_VALUE = 128


def cookie_name(settings: Settings, name: str) -> str:
    """The name under which one of our cookies travels."""
    return f"idp_{name}" if settings.is_loopback_http else f"__Host-idp_{name}"


def read_handle(request: Request) -> str | None:
    """The session cookie's value as the browser sent it: unchecked, but short."""
    value = request.cookies.get(cookie_name(current_services().settings, "session"))
    return value if value and len(value) <= MAXIMUM_VALUE else None


def set_handle(response: Response, handle: Secret, *, keep_signed_in: bool, keep_for: timedelta | None = None) -> None:
    """Give the browser its session. Without "keep me signed in" the cookie goes when the browser is closed.

    A kept one gets the absolute lifetime (`keep_for` is today's), so that it need not be sent again with every request:
    that the session dies 28 idle days later is the database's business.
    """
    settings = current_services().settings
    response.set_cookie(
        cookie_name(settings, "session"),
        handle.reveal(),
        max_age=(keep_for or settings.browser_absolute_lifetime) if keep_signed_in else None,
        path="/",
        secure=not settings.is_loopback_http,
        httponly=True,
        samesite="Lax",
    )


def clear_handle(response: Response) -> None:
    """Take the session cookie away, and what the browser keeps of our pages (W3C Clear Site Data)."""
    settings = current_services().settings
    if settings.clear_site_data:
        response.headers["Clear-Site-Data"] = header_value(settings.clear_site_data)
    response.delete_cookie(
        cookie_name(settings, "session"),
        path="/",
        secure=not settings.is_loopback_http,
        httponly=True,
        samesite="Lax",
    )
