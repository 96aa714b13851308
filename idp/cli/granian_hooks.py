"""Where granian's own lines go: through the pipeline of `idp.kit.logs`, redaction included, onto standard error.

Granian takes a file for `logging.config` (`granian_logs.json`, beside this), in which a handler may be named by a
function: this one. It is called in granian's main process and in each of its workers, before the application is loaded.
"""

import logging

from idp.kit.logs import configure_logs
from idp.settings import load_settings


def house_handler() -> logging.Handler:
    """The handler of this process's logs, set up by the settings of the installation."""
    settings = load_settings()
    configure_logs(settings.log_level, layout=settings.log_format, known_secrets=settings.secret_texts())
    (handler,) = logging.getLogger().handlers
    return handler
