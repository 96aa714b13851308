"""Puts the house together: the only module that knows every desk.

`create_app` makes a WSGI application from settings; it opens no connection and loads no key, so that a server may fork
after it.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask

from idp import account, login, logout, oauth, operation, web
from idp.db import migrate
from idp.db.engine import db, engine_options, normalized_url
from idp.kit.clock import Clock
from idp.settings import Settings, load_settings
from idp.web.services import EXTENSION, build_services


class _Service(Flask):
    """Flask, spared a question that it asks at every call of a hook or view."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: nothing of ours is a coroutine."""
        return func


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """The application. Without `settings`, they are read from the environment; `SettingsError` says what is wrong."""
    settings = settings or load_settings()
    app = _Service("idp", static_folder=None, template_folder=None)
    url = normalized_url(settings.database_url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url, settings.database_pool_size)
    db.init_app(app)
    migrate.init_app(app)
    with app.app_context():
        app.extensions[EXTENSION] = build_services(settings, clock=clock, engine=db.engine)
    web.init_app(app)
    for pages in (oauth.blueprint, login.blueprint, logout.blueprint, logout.developers, account.blueprint):
        app.register_blueprint(pages, url_prefix=settings.issuer_path or None)
    app.register_blueprint(operation.blueprint)  # they speak of this node, not of the issuer
    return app
