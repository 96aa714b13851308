"""One pipeline for everything that a process says: ours, libraries', warnings, uncaught errors; JSON or readable."""

import errno
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable

import pytest
import structlog
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from idp.db.engine import Database, engine_options
from idp.db.models import User
from idp.kit.logs import configure_logs, remember_request
from tests.operation.conftest import LogStream
from tests.support.heart import Heart

OpenLog = Callable[..., LogStream]
RECEIPT = "0" * 26 + "." + "A" * 22


def test_a_line_is_one_json_object_with_what_one_looks_for_first(log: LogStream) -> None:
    remember_request("4711")

    structlog.get_logger("idp.worker").warning("sweep_failed", again_in_seconds=2)

    (line,) = log.lines()
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {"level": "warning", "event": "sweep_failed", "again_in_seconds": 2, "request_id": "4711"}


def test_lines_below_the_level_are_not_written(open_log: OpenLog) -> None:
    stream = open_log("warning")

    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in stream.lines()] == ["loud"]


def test_people_get_readable_lines(open_log: OpenLog) -> None:
    stream = open_log(layout="text")

    structlog.get_logger().info("worker_started", holder="node-1")

    assert "worker_started" in stream.text
    assert "holder=node-1" in stream.text
    assert "{" not in stream.text


def test_left_to_itself_it_writes_for_people_on_a_terminal_and_json_elsewhere(restored_logging: None) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        configure_logs("info", layout="auto", stream=stream)
        structlog.get_logger().info("hello")
        assert stream.getvalue().startswith("{") is is_json


def test_a_line_cannot_be_split_by_what_a_stranger_sent(log: LogStream) -> None:
    structlog.get_logger().info("request", agent='x\n{"event": "forged"}')
    logging.getLogger("library").warning("bad header %s", "a\r\nb")

    assert [line["event"] for line in log.lines()] == ["request", "bad header a\r\nb"]


def test_libraries_speak_through_the_same_door_from_warning_on(open_log: OpenLog) -> None:
    stream = open_log("debug")

    logging.getLogger("urllib3").info("GET /signed-out/%s", RECEIPT)
    logging.getLogger("urllib3").warning("retrying /signed-out/%s", RECEIPT)

    (line,) = stream.lines()
    assert line["event"] == f"retrying /signed-out/{'0' * 26}.***"
    assert (line["level"], line["logger"]) == ("warning", "urllib3")


def test_warnings_come_as_lines(log: LogStream) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("deprecated somewhere", stacklevel=1)

    assert "deprecated somewhere" in log.lines()[0]["event"]


def test_an_exception_comes_with_its_traceback_without_local_variables(log: LogStream) -> None:
    password = "only a local variable"
    try:
        raise RuntimeError("it broke")
    except RuntimeError:
        structlog.get_logger().exception("failed", cookie="idp_session")

    assert password
    (line,) = log.lines()
    assert "RuntimeError: it broke" in line["exception"]
    assert password not in line["exception"].replace('password = "only a local variable"', "")
    assert line["cookie"] == "***"


def test_known_secrets_are_masked_in_every_kind_of_line(open_log: OpenLog) -> None:
    stream = open_log(known_secrets=["the secret of this installation", "short"])

    structlog.get_logger().info("x", value={"deep": ["the secret of this installation"]})
    logging.getLogger("library").error("no: the secret of this installation, short")

    assert "of this installation" not in stream.text
    assert "short" in stream.text  # it would be found in innocent words


def test_uncaught_exceptions_of_the_process_and_of_threads_are_lines_too(log: LogStream) -> None:
    def fail() -> None:
        raise ValueError(f"/signed-out/{RECEIPT}")

    thread = threading.Thread(target=fail, name="sweep")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError:
        sys.excepthook(*sys.exc_info())

    in_thread, in_process = log.lines("uncaught_exception")
    assert in_thread["thread"] == "sweep"
    assert "ValueError" in in_thread["exception"]
    assert in_process["level"] == "critical"
    assert "A" * 22 not in log.text


def test_a_refused_row_shows_neither_the_statements_values_nor_those_that_the_database_quotes(
    heart: Heart, log: LogStream
) -> None:
    person, sent = heart.person(), "-".join(["value", "of", "a", "statement"])  # not so in the traceback's own lines
    values = {
        name: getattr(person, name) for name in ("email_key", "claims", "claims_updated_at", "created_at", "epoch")
    }

    with pytest.raises(IntegrityError) as refused, heart.database.transaction() as tx:
        tx.execute(insert(User).values(id="other", sub="other", email=sent, **values))
    structlog.get_logger().error("unavailable", exc_info=refused.value)

    (line,) = log.lines()
    assert "IntegrityError" in line["exception"]
    assert sent not in log.text
    assert str(person.email_key) not in log.text


def test_every_engine_hides_parameters() -> None:
    for url in ("sqlite:///x", "postgresql+psycopg://x/y"):
        assert engine_options(url, 1)["hide_parameters"] is True


def test_the_test_database_is_opened_as_the_service_opens_it(database: Database) -> None:
    assert database.engine.hide_parameters


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(restored_logging: None) -> None:
    class FullDisk(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

        def flush(self) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")

    disk = FullDisk()
    configure_logs("info", stream=disk)

    structlog.get_logger().info("lost")
    logging.getLogger("gunicorn.error").error("lost too")
    disk.is_full = False
    structlog.get_logger().info("kept")

    assert [json.loads(line)["event"] for line in disk.getvalue().splitlines()] == ["kept"]
