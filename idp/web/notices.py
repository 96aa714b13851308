"""A short word about what the person just did, carried over one redirect in the browser's signed cookie.

It holds what this browser may see anyway: names and paths of its own account, at most the address of a receipt.
"""

from flask import session as browser_cookie

from idp.web.views import Link, Notice

_KEY = "notice"
MAXIMUM_TEXT = 300


def leave_notice(text: str, *, tone: str = "good", symbol: str = "check", link: Link | None = None) -> None:
    """Say this on the next page of the account. A later notice replaces an earlier one that nobody saw."""
    browser_cookie[_KEY] = [text[:MAXIMUM_TEXT], tone, symbol, link.name if link else "", link.url if link else ""]


def take_notice() -> Notice | None:
    """The waiting notice, once."""
    match browser_cookie.pop(_KEY, None):
        case [str() as text, str() as tone, str() as symbol, str() as name, str() as url]:
            return Notice(text, tone, symbol, Link(name, url) if name else None)
        case _:
            return None
