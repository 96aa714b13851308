"""The headers that every answer carries, and the Content-Security-Policy of each page.

The policy starts from nothing and names exactly what a page needs. `form-action` is extended by the *verified* redirect
of a request, because browsers apply it to redirects that follow a form too (design §8). Two headers are left out on
purpose: Cross-Origin-Opener-Policy would cut off relying parties that sign in in a popup, and `includeSubDomains` in
HSTS would speak for hosts that are not ours.
"""

import re
from collections.abc import Sequence

from flask import Flask, Response, g, request

from idp.settings import Settings
from idp.web.device import ACCEPT_CH
from idp.web.paths import is_current_static

# An origin or a scheme, and nothing that could end one directive and begin another.
_SOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://[A-Za-z0-9.\-_\[\]:]+)?\Z")
REQUEST_ID = "X-Request-Id"
NOTHING_ALLOWED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


_OF_ANSWERS = {
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms too.
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": NOTHING_ALLOWED,
    "Cache-Control": "no-store",  # RFC 6749 §5.1; pages: nothing of a person stays on disk
}
_OF_PAGES = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Accept-CH": ACCEPT_CH,
}
_STRICT = {"Strict-Transport-Security": "max-age=31536000"}


def page_policy(*, form_action: Sequence[str] = (), img_src: Sequence[str] = (), frame_src: Sequence[str] = ()) -> str:
    """The policy of one of our pages. The arguments are origins or schemes; whatever is neither is left out.

    Left out and not an error: a client registered under a host that CSP cannot name must get a page that is too strict,
    not a page that is broken.
    """
    form_action, img_src, frame_src = (_sources(given) for given in (form_action, img_src, frame_src))
    directives = [
        "default-src 'none'",
        "base-uri 'none'",
        "connect-src 'self'",
        " ".join(["form-action", "'self'", *form_action]),
        "frame-ancestors 'none'",
        " ".join(["img-src", "'self'", *img_src]),
        "script-src 'self'",
        "style-src 'self'",
    ]
    if frame_src:
        directives.append(" ".join(["frame-src", *frame_src]))
    return "; ".join(directives)


def _sources(given: Sequence[str]) -> list[str]:
    # CSP3 §2.3.1 has no host sources for IPv6 literals: browsers would ignore them, and with them the way back to an
    # app that listens on [::1]. The scheme alone is the narrowest thing that can be said.
    return [source.partition("//")[0] if "[" in source else source for source in given if _SOURCE.match(source)]


def headers_of_answers(settings: Settings) -> dict[str, str]:
    """What every answer carries that is not a page."""
    return {**_OF_ANSWERS, **({} if settings.is_loopback_http else _STRICT)}


def init_headers(app: Flask) -> None:
    """Give every answer its headers. A desk that set one itself keeps it."""

    of_answers = headers_of_answers(app.extensions["idp"].settings)
    of_pages = {**of_answers, **_OF_PAGES}

    @app.after_request
    def secure(response: Response) -> Response:
        headers = response.headers
        if request.endpoint == "web.static":
            _cache_static(response)
        # One look at what is there: Werkzeug's own `setdefault` reads all of them, twice, for each.
        present = {name.lower() for name, _ in headers}
        for name, value in (of_pages if response.mimetype == "text/html" else of_answers).items():
            if name.lower() not in present:
                headers.add(name, value)
        if REQUEST_ID.lower() not in present:
            headers.add(REQUEST_ID, str(g.get("request_id", "")))
        return response


def _cache_static(response: Response) -> None:
    name = (request.view_args or {}).get("filename", "")
    is_exact = response.status_code in {200, 304} and is_current_static(name, request.args.get("v"))
    # The address of an exact file changes with its content; anything else must be asked for again soon.
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_exact else "public, max-age=300"
