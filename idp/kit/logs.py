"""How every process of the house logs: one JSON object per line on standard error, or readable lines on a terminal.

Our own events (structlog), those of libraries and of gunicorn (logging), warnings and uncaught exceptions all pass
through the same pipeline and out of the same door, where `idp.kit.redaction` has the last look at each finished line.
A line that can't be written is lost, and nothing else. Nothing here decides what is logged: callers name facts, never
values that open something.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from idp.kit.redaction import MINIMUM_KNOWN_SECRET, redact_fields, redact_text, redact_traceback

FORMATS = ("auto", "json", "text")
# Libraries speak only when something is wrong: their chatter at `info` and `debug` names paths and parameters.
_LIBRARIES = logging.WARNING
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def configure_logs(
    level: str, *, layout: str = "auto", known_secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Set logging up for this process; may be called again.

    `level` and `layout` are the settings `log_level` and `log_format`; `known_secrets` are texts that must never
    appear, whatever they look like (`Settings.secret_texts`).
    """
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    as_text = layout == "text" or (layout == "auto" and is_terminal)
    door = _Door(stream)
    secrets = tuple(
        sorted({text for text in known_secrets if len(text) >= MINIMUM_KNOWN_SECRET}, key=len, reverse=True)
    )
    wanted = logging.getLevelNamesMapping()[level.upper()]
    # Tracebacks are without local variables: they hold what must not be logged.
    line = _Line(_renderer(as_text=as_text, colors=is_terminal), secrets)
    finish: list[Any] = [structlog.processors.format_exc_info, line]
    structlog.configure(
        processors=[add_request_id, structlog.processors.add_log_level, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(wanted),
        logger_factory=structlog.WriteLoggerFactory(door),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    _configure_libraries(door, finish, max(wanted, _LIBRARIES))
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def remember_request(request_id: str) -> None:
    """Name the request that this thread answers from now on, in all of its lines; "": none."""
    _request_id.set(request_id)


def add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: what request a line belongs to, unless it says so itself."""
    request_id = _request_id.get()
    return {"request_id": request_id, **event} if request_id else event


class KeptLogger:
    """A logger that is put together once per configuration and not once per line: for what every request says."""

    def __init__(self, name: str) -> None:
        self._lazy = structlog.get_logger(name)
        self._configuration: dict[str, Any] = {}
        self._bound: Any = None

    def bound(self) -> Any:
        """structlog's logger as it is configured now. Nothing is kept in a process that has not configured any."""
        if not structlog.is_configured():
            return self._lazy
        configuration = structlog.get_config()
        if configuration != self._configuration:
            self._bound, self._configuration = self._lazy.bind(), configuration
        return self._bound


class _Door:
    """Where finished lines leave.

    A full disk or a reader that is gone must not make an error of an answer whose commit has happened, nor end the loop
    that was about to say that it goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _renderer(*, as_text: bool, colors: bool) -> Any:
    if as_text:
        return structlog.dev.ConsoleRenderer(
            pad_event_to=24, colors=colors, exception_formatter=structlog.dev.plain_traceback
        )
    return _to_json


# Made once: `json.dumps` with a default makes a new one for each line.
_encode = json.JSONEncoder(default=repr).encode


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return _encode(event)


def _configure_libraries(door: _Door, finish: list[Any], level: int) -> None:
    handler = logging.StreamHandler(door)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                add_request_id,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


class _Line:
    """The last processor: the finished line of an event, masked by its fields' names and once more by shape."""

    def __init__(self, render: Any, secrets: tuple[str, ...]) -> None:
        self._render = render
        self._secrets = secrets

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        exception = event.get("exception")
        if isinstance(exception, str):
            event["exception"] = redact_traceback(exception)  # what a driver quotes below it
        # What everybody looks for first stands first.
        first = {name: event.pop(name) for name in ("level", "event") if name in event}
        line = {"timestamp": _utc_now(), **first, **redact_fields(event)}
        # Whatever nesting, repr or traceback a value came by.
        return redact_text(self._render(logger, method, line), self._secrets)


def _utc_now() -> str:
    return datetime.now(UTC).isoformat().removesuffix("+00:00") + "Z"


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger("idp").critical("uncaught_exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_type is SystemExit or given.exc_value is None:
        return
    name = given.thread.name if given.thread else ""
    exception = (given.exc_type, given.exc_value, given.exc_traceback)
    structlog.get_logger("idp").error("uncaught_exception", thread=name, exc_info=exception)
