"""The metrics of a whole run: read as one by token and by the listener, whichever process counted."""

import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.operation.nodes import IDP, ROOT, OpenNode
from tests.operation.numbers import number
from tests.support.processes import free_port, until

TOKEN = "a-token-for-the-scraper-of-more-than-32"


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_the_processes_of_a_run_are_read_as_one_by_token_and_by_the_listener(open_node: OpenNode) -> None:
    listener = free_port()
    node = open_node(IDP_METRICS_TOKEN=TOKEN, IDP_METRICS_LISTEN=f"127.0.0.1:{listener}")
    node.start()
    for _ in range(40):
        assert node.get("/login")[0] == 200
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    def by_listener() -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{listener}/metrics", headers=bearer)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    until(lambda: number(by_listener(), "idp_worker_heartbeat_age_seconds") < 60)
    series = {"route": "/login", "method": "GET", "status": "2xx"}
    assert number(by_listener(), "idp_requests_total", **series) == 40
    assert number(node.get("/metrics", **bearer)[1], "idp_requests_total", **series) == 40
    assert node.get("/metrics")[0] == 401
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{listener}/metrics", timeout=10)

    node.terminate()
    assert node.wait() == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", listener), timeout=5)


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_a_worker_that_runs_alone_has_a_listener_of_its_own(open_node: OpenNode) -> None:
    listener = free_port()
    node = open_node(IDP_METRICS_LISTEN=f"127.0.0.1:{listener}")
    with node.log.open("ab") as log:
        node.process = subprocess.Popen([*IDP, "worker"], cwd=ROOT, env=node.environment, stdout=log, stderr=log)

    def text() -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{listener}/metrics", timeout=10) as answer:
                found: str = answer.read().decode()
                return found
        except OSError:
            return None

    assert number(until(text), "idp_database_up") == 1
    node.terminate()
    assert node.wait() == 0


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_a_taken_address_for_metrics_is_told_in_one_sentence_before_anything_starts(open_node: OpenNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = open_node(IDP_METRICS_LISTEN=f"127.0.0.1:{port}")
        refused = subprocess.run(
            [*IDP, "serve", "--port", str(free_port())],
            cwd=ROOT,
            env=node.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert refused.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in refused.stderr
    assert "IDP_METRICS_LISTEN" in refused.stderr
    assert "Traceback" not in refused.stderr
