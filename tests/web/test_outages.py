"""While requests are refused, the log says why in one line a minute and kind, and how many lines it left out."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from idp.web.outages import Outages
from tests.support.pages import Site
from tests.web.test_shell import with_route


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def lines_of(outages: Outages, *errors: str) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        for error in errors:
            outages.tell(error, route="/oauth2/token")
    return [dict(line) for line in lines]


def test_an_outage_is_one_line_a_minute_however_many_requests_it_refuses(seconds: Seconds) -> None:
    outages = Outages(seconds)

    first = lines_of(outages, *["OperationalError: connection refused"] * 100)
    seconds.now += 60
    later = lines_of(outages, *["OperationalError: the system is starting up"] * 2)
    seconds.now += 60
    last = lines_of(outages, "OperationalError: connection refused")

    line = {"event": "unavailable", "log_level": "error", "route": "/oauth2/token"}
    assert first == [{**line, "error": "OperationalError: connection refused"}]
    assert later == [{**line, "error": "OperationalError: the system is starting up", "more_since_last_line": 99}]
    assert [one["more_since_last_line"] for one in last] == [1]


def test_another_kind_of_trouble_is_said_at_once(seconds: Seconds) -> None:
    outages = Outages(seconds)

    lines = lines_of(outages, "OperationalError: away", "DiskFull: no space left", "DiskFull: no space left")

    assert [line["error"] for line in lines] == ["OperationalError: away", "DiskFull: no space left"]


def test_a_refused_request_leaves_no_traceback_in_the_log(site: Site) -> None:
    def fail() -> str:
        from sqlalchemy.exc import OperationalError

        raise OperationalError("SELECT 1", {"email": "ada@example.com"}, Exception("down\nada@example.com"))

    with_route(site, "/page", fail)

    with capture_logs() as lines:
        answers = [site.visitor().get("/page").status_code for _ in range(2)]

    (line,) = [line for line in lines if line["event"] == "unavailable"]
    assert answers == [503, 503]
    assert line == {"event": "unavailable", "log_level": "error", "error": "Exception: down", "route": "/page"}
