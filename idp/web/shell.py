"""Putting the page shell into an application: request ids, limits, cookies, CSRF, headers, templates, static files.

`init_app` is called once by `idp.app`, after `app.extensions["idp"]` holds the services. It owns no page of its own.
"""

from flask import Blueprint, Flask

from idp.web.access_log import init_access_log
from idp.web.browser import init_browser_cookie
from idp.web.current import init_current_session
from idp.web.errors import init_errors
from idp.web.headers import init_headers
from idp.web.limits import init_limits
from idp.web.pages import init_templates
from idp.web.priority import init_priority


def init_app(app: Flask) -> None:
    """Install the page shell. Order matters: the request id first, then limits, then the CSRF check reads the form."""
    init_access_log(app)
    init_priority(app)
    init_limits(app)
    init_browser_cookie(app)
    init_templates(app)
    init_errors(app)
    # Hooks after a request run in reverse order of registration: headers are completed last.
    init_headers(app)
    init_current_session(app)
    shell = Blueprint("web", __name__, template_folder="templates", static_folder="static", static_url_path="/assets")
    app.register_blueprint(shell, url_prefix=app.extensions["idp"].settings.issuer_path or None)
