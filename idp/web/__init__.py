"""The page shell (floor 4): session cookie, browser binding, CSRF, headers, limits, error pages, rendering.

What every desk needs to answer a browser, and no rule about sessions, clients or tokens. All templates and the one
style sheet live here. Pages work without JavaScript; `static/site.js` only adds to them.
"""

from idp.web.address import client_address
from idp.web.browser import browser_binding, csrf_exempt, known_browser_binding, renew_csrf
from idp.web.cookies import clear_handle, read_handle, set_handle
from idp.web.counting import count_ended
from idp.web.current import current_session, forget_current_session
from idp.web.device import device
from idp.web.pages import error_page, page, see_other
from idp.web.paths import own_path, own_url
from idp.web.services import Services, current_services
from idp.web.shell import init_app

__all__ = [
    "Services",
    "browser_binding",
    "clear_handle",
    "client_address",
    "count_ended",
    "csrf_exempt",
    "current_services",
    "current_session",
    "device",
    "error_page",
    "forget_current_session",
    "init_app",
    "known_browser_binding",
    "own_path",
    "own_url",
    "page",
    "read_handle",
    "renew_csrf",
    "see_other",
    "set_handle",
]
