"""How processes that we start log: one JSON object per line on standard error, or coloured lines on a terminal.

Callers name facts, never values that open something: no token, code, cookie, link, password or full address.
"""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Set structlog up for this process. `level` is `settings.log_level`."""
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables: they hold what must not be logged.
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(pad_event_to=24) if is_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
