"""The blueprints of this desk: sign-out's pages, and the pages for developers of applications.

Two, because sign-out's requests go before others when connections are short (`idp.web.priority`), and these must not.
"""

from flask import Blueprint

blueprint = Blueprint("logout", __name__)
developers = Blueprint("developers", __name__)
