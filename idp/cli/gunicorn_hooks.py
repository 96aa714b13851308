"""Gunicorn's configuration file (`-c python:idp.cli.gunicorn_hooks`); the numbers are on the command line.

The application is loaded before the fork, so that a mistake in it or its settings ends the start with its message
instead of a loop of dying workers. Connections must not cross the fork: each worker begins with an empty pool. What
gunicorn has to say goes through our own logs; it writes no access log, since its lines would hold addresses.
"""

import logging
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from idp.kit.logs import configure_logs
from idp.settings import load_settings

MAXIMUM_WARNING = 300

preload_app = True
accesslog = None


class HouseLogger(Logger):  # type: ignore[misc]
    """Gunicorn's logger without handlers of its own: its errors pass through our pipeline, redaction included."""

    def setup(self, cfg: Any) -> None:
        """Called at the start and at every reload."""
        settings = load_settings()
        configure_logs(settings.log_level, layout=settings.log_format, known_secrets=settings.secret_texts())
        self.cfg = cfg
        self._access_log_enabled = False
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.WARNING)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.setLevel(self.loglevel)
            log.propagate = log is self.error_log

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Among others a request that can't be parsed: a stranger's words, so only their beginning."""
        super().warning(str(msg)[:MAXIMUM_WARNING], *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """An error that the application did not catch. The address of the request stays out (`req.uri`)."""
        if isinstance(msg, str) and msg.startswith("Error handling request"):
            msg, args = "Error handling request", ()
        super().exception(msg, *args, **kwargs)


def post_fork(_server: Any, _worker: Any) -> None:
    """In the new worker: forget inherited connections without closing them under the others."""
    from idp.web.services import EXTENSION
    from idp.wsgi import app

    services = app.extensions[EXTENSION]
    services.database.engine.dispose(close=False)
    services.keys.forget()


def child_exit(_server: Any, worker: Any) -> None:
    """In the parent: a worker is gone, however it went. Its place is free again."""
    worker.share.leave()
