"""The separate listener for metrics, counts of several processes, and what counting costs."""

import socket
import subprocess
import sys
import timeit
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from idp import outbox
from idp.kit import metrics
from idp.kit.opaque import Secret
from idp.operation.exposition import Exposition
from idp.operation.listener import MetricsListener
from idp.web.services import Services
from tests.operation.numbers import TOKEN, number, read

ROOT = Path(__file__).resolve().parents[2]


# ── The listener of its own ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def open_listener() -> Iterator[Callable[..., str]]:
    opened: list[MetricsListener] = []

    def listen(*, host: str = "127.0.0.1", token: str | None = None) -> str:
        listener = MetricsListener((host, 0), lambda: b"idp_up 1\n", Secret(token) if token else None)
        opened.append(listener)
        listener.start()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{listener.port}"

    yield listen
    for listener in opened:
        listener.stop()


def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_on_this_machine_needs_no_token(open_listener: Callable[..., str], host: str) -> None:
    assert fetch(open_listener(host=host) + "/metrics") == (200, "idp_up 1\n")


def test_a_listener_has_nothing_but_metrics(open_listener: Callable[..., str]) -> None:
    url = open_listener()

    assert fetch(url + "/")[0] == 404
    assert fetch(url + "/login")[0] == 404
    assert fetch(url + "/metrics", method="POST")[0] == 501


def test_a_token_counts_at_the_listener_too(open_listener: Callable[..., str]) -> None:
    url = open_listener(token=TOKEN) + "/metrics"

    assert fetch(url)[0] == 401
    assert fetch(url, Authorization="Bearer wrong") == (401, "")
    assert fetch(url, Authorization=f"Bearer {TOKEN}") == (200, "idp_up 1\n")


def test_a_client_that_says_nothing_does_not_keep_others_waiting(open_listener: Callable[..., str]) -> None:
    url = open_listener()
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        assert fetch(url + "/metrics")[0] == 200


def test_a_listener_that_was_stopped_listens_no_more() -> None:
    listener = MetricsListener(("127.0.0.1", 0), lambda: b"", None)
    listener.start()
    listener.stop()

    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", listener.port), timeout=5)


# ── Several processes, and the price ──────────────────────────────────────────────────────────────────────────────────


_COUNT = """
import sys
from idp.kit import metrics
metrics.observe_request("/oauth2/token", "POST", 200, 0.02)
for _ in range(int(sys.argv[1])): metrics.count_refresh("rotated")
"""


def test_the_processes_of_a_run_add_up_also_those_that_are_gone(services: Services, tmp_path: Path) -> None:
    for times in (2, 3):
        subprocess.run(
            [sys.executable, "-c", _COUNT, str(times)],
            cwd=ROOT,
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""},
            check=True,
            timeout=60,
        )

    text = Exposition(services, folder=tmp_path).render().decode()

    assert number(text, "idp_refreshes_total", outcome="rotated") == 5
    assert number(text, "idp_requests_total", route="/oauth2/token", method="POST", status="2xx") == 2
    assert number(text, "idp_request_seconds_bucket", route="/oauth2/token", method="POST", le="0.025") == 2
    assert number(text, "idp_database_up") == 1


def test_without_a_database_the_counts_still_come(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    exposition = Exposition(services)
    monkeypatch.setattr(outbox, "measure_backlog", lambda *_, **__: 1 / 0)

    text = exposition.render().decode()

    assert number(text, "idp_database_up") == 0
    assert ("idp_refreshes_total", (("outcome", "rotated"),)) in read(text)
    assert "idp_notices_pending" not in text


def test_counting_a_refresh_costs_less_than_20_microseconds() -> None:
    def count() -> None:
        metrics.observe_request("/oauth2/token", "POST", 200, 0.012)
        metrics.count_refresh("rotated")

    best = min(timeit.repeat(count, number=500, repeat=20)) / 500

    assert best < 20e-6
