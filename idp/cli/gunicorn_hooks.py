"""Gunicorn's configuration file (`-c python:idp.cli.gunicorn_hooks`); the numbers are on the command line.

The application is loaded before the fork, so that a mistake in it or its settings ends the start with its message
instead of a loop of dying workers. Connections must not cross the fork: each worker begins with an empty pool.
"""

from typing import Any

from idp.cli.logs import configure_logs
from idp.settings import load_settings

preload_app = True


def on_starting(_server: Any) -> None:
    """Before the application is loaded."""
    configure_logs(load_settings().log_level)


def post_fork(_server: Any, _worker: Any) -> None:
    """In the new worker: forget inherited connections without closing them under the others."""
    from idp.web.services import EXTENSION
    from idp.wsgi import app

    services = app.extensions[EXTENSION]
    services.database.engine.dispose(close=False)
    services.keys.forget()
