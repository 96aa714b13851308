"""`restored_logging`: what a test changes about the logging of this process does not outlive it."""

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from idp.kit.logs import remember_request


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Everything that `configure_logs` changes in a process is put back."""
    root, before = logging.getLogger(), structlog.get_config() if structlog.is_configured() else None
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()
    if before is not None:
        structlog.configure(**before)
    remember_request("")
