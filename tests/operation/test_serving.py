"""Real processes: draining, rolling restarts without a lost request, metrics of a whole run, gunicorn's own lines."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.operation.test_metrics import number
from tests.support.heart import Heart

ROOT = Path(__file__).resolve().parents[2]
IDP = [sys.executable, "-m", "idp.cli"]
SECRET = "a secret for tests only, long enough to be taken"
TOKEN = "a-token-for-the-scraper-of-more-than-32"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.05)
    return found


class Node:
    """One `idp serve` on an installation that may have several."""

    def __init__(self, folder: Path, database_url: str, name: str, **settings: str) -> None:
        self.port = free_port()
        self.log = folder / f"{name}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("IDP_", "PROMETHEUS_"))}
        self.environment = {
            **clean,
            "IDP_VAR_DIR": str(folder / "var"),
            "IDP_DATABASE_URL": database_url,
            "IDP_SECRET": SECRET,
            "IDP_ISSUER": "http://localhost:9000",
            "IDP_DRAIN_LIFETIME": "0",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> str:
        return subprocess.run(
            [*IDP, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    def start(self, *arguments: str, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*IDP, "serve", "--port", str(self.port), "--workers", "2", "--threads", "4", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until(lambda: self.status("/readyz") == 200, 100)

    def status(self, path: str) -> int | None:
        try:
            return self.get(path)[0]
        except (OSError, HTTPException):
            return None

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(45)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


OpenNode = Callable[..., Node]


@pytest.fixture
def open_node(tmp_path: Path, database_url: str) -> Iterator[OpenNode]:
    """Makes nodes over one database that `idp init` has prepared."""
    nodes: list[Node] = []

    def make(**settings: str) -> Node:
        nodes.append(Node(tmp_path, database_url, f"node{len(nodes)}", **settings))
        if len(nodes) == 1:
            nodes[0].run("init")
        return nodes[-1]

    yield make
    for node in nodes:
        node.end()


def make_service(node: Node) -> dict[str, str]:
    """A client that gets tokens for itself; the headers with which it does."""
    made = json.loads(node.run("clients", "create", "--name", "Job", "--service", "--json"))
    pair = b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    return {**FORM, "Authorization": f"Basic {pair}"}


BODY = urlencode({"grant_type": "client_credentials"}).encode()


# ── Draining ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_after_sigterm_a_node_is_first_not_ready_then_finishes_what_is_under_way_and_then_ends(
    open_node: OpenNode,
) -> None:
    node = open_node(IDP_DRAIN_LIFETIME="3")
    node.start()
    headers = make_service(node)
    slow = HTTPConnection("127.0.0.1", node.port, timeout=40)
    slow.putrequest("POST", "/oauth2/token")
    for name, value in {**headers, "Content-Length": str(len(BODY))}.items():
        slow.putheader(name, value)
    slow.endheaders(BODY[:10])  # a request that is under way for as long as we like

    node.terminate()
    until(lambda: node.status("/readyz") == 503)
    assert node.status("/healthz") == 200
    assert node.status("/login") == 200, "what still arrives is served"
    assert json.loads(node.get("/readyz")[1])["checks"][0]["name"] == "draining"
    until(lambda: node.status("/healthz") is None)  # no new connections any more
    assert node.process is not None
    assert node.process.poll() is None, "it waits for the request under way"
    slow.send(BODY[10:])
    answer = slow.getresponse()

    assert answer.status == 200
    assert json.loads(answer.read())["access_token"]
    slow.close()
    assert node.wait() == 0
    assert "Traceback" not in node.log.read_text()


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_ctrl_c_and_a_second_sigterm_do_not_wait_for_a_load_balancer(open_node: OpenNode) -> None:
    for signals in ([signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]):
        node = open_node(IDP_DRAIN_LIFETIME="10m")
        node.start("--without-worker")
        assert node.process is not None
        node.process.send_signal(signals[0])
        for again in signals[1:]:
            until(partial(_is_leaving, node))
            node.process.send_signal(again)

        assert node.wait() == 0


def _is_leaving(node: Node) -> bool:
    return node.status("/readyz") in {503, None}


@pytest.mark.timeout(300)
def test_a_rolling_restart_loses_no_request_that_is_tried_a_second_time(open_node: OpenNode, heart: Heart) -> None:
    nodes = [open_node(IDP_DRAIN_LIFETIME="1"), open_node(IDP_DRAIN_LIFETIME="1")]
    for node in nodes:
        node.start("--without-worker", wait=False)
    headers = make_service(nodes[0])
    for node in nodes:
        node.wait_until_ready()
    traffic = Traffic(nodes, headers, [issue_token(heart) for _ in range(4)])

    with traffic:
        traffic.go_on()
        for node in nodes:
            node.terminate()
            assert node.wait() == 0
            traffic.go_on()  # the other one carries on alone
            node.start("--without-worker")
        traffic.go_on()

    assert traffic.lost == []
    assert set(traffic.statuses) == {200}
    assert traffic.rotations > 0
    for node in nodes:
        assert "Traceback" not in node.log.read_text()


def issue_token(heart: Heart) -> tuple[str, str]:
    """A public client that rotates at each refresh, and its refresh token, by the rules and the nodes' own clock."""
    heart.clock.moment = datetime.now(UTC)
    client = heart.client(refresh_leeway_lifetime=timedelta(0))
    heart.change(client, token_endpoint_auth_method="none")
    issued = heart.tokens_for(heart.sign_in(heart.person()), client)
    assert issued.refresh_token is not None
    return client.id, issued.refresh_token.reveal()


class Traffic:
    """Four clients behind a load balancer that tries the other node once, on connections that it keeps open.

    They get tokens for themselves and refresh, in turn; each refresh presents what the one before gave.
    """

    def __init__(self, nodes: list[Node], headers: dict[str, str], tokens: list[tuple[str, str]]) -> None:
        self._nodes, self._headers, self._tokens = nodes, headers, tokens
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(4)]
        self.answered = 0
        self.rotations = 0
        self.lost: list[str] = []
        self.statuses: dict[int, int] = {}

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def go_on(self) -> None:
        """Until some dozens more are answered."""
        goal = self.answered + 20
        until(lambda: self.answered > goal)

    def _client(self, number: int) -> None:
        connections = [HTTPConnection("127.0.0.1", node.port, timeout=35) for node in self._nodes]
        turn = number
        client_id, token = self._tokens[number]
        while not self._stop.wait(0.1):  # leaves the machine room to start a node
            turn += 1
            problems = []
            refreshes = turn // 2 % 2 == 0
            form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": token}
            body, headers = (urlencode(form).encode(), FORM) if refreshes else (BODY, self._headers)
            for attempt in (0, 1):
                connection = connections[(turn + attempt) % 2]
                try:
                    connection.request("POST", "/oauth2/token", body, headers)
                    answer = connection.getresponse()
                    given = json.loads(answer.read())
                except (OSError, HTTPException) as problem:
                    connection.close()
                    problems.append(repr(problem))
                    continue
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                self.answered += 1
                if refreshes and answer.status == 200:
                    self.rotations += given["refresh_token"] != token
                    token = given["refresh_token"]
                break
            else:
                self.lost.append(" and ".join(problems))
        for connection in connections:
            connection.close()


# ── Metrics of a run ──────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── What the server itself logs ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_gunicorns_own_lines_pass_the_same_pipeline_and_there_is_no_access_log_of_its(open_node: OpenNode) -> None:
    node = open_node()
    node.start("--without-worker")
    receipt = "0" * 26 + "." + "A" * 22
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as stranger:
        stranger.sendall(f"GET /signed-out/{receipt} NONSENSE/9.9\r\nX: y\r\n\r\n".encode())
        assert b"400" in stranger.recv(100)
    assert node.get(f"/signed-out/{receipt}?code=abc")[0] == 404
    assert node.get("/oauth2/logout?id_token_hint=" + "x" * 7000)[0] == 303, "long hints arrive"
    assert node.get("/oauth2/jwks")[0] == 200

    until(lambda: any(line["event"] == "request" and line["route"] == "/oauth2/jwks" for line in node.lines))
    (complaint,) = [line for line in node.lines if line.get("logger") == "gunicorn.error"]
    assert complaint["level"] == "warning"
    assert complaint["event"].startswith("Invalid request from ip=127.0.0.1")
    assert {line["route"] for line in node.lines if line["event"] == "request"} == {
        *("/signed-out/<handle>", "/oauth2/jwks", "/oauth2/logout")
    }
    text = node.log.read_text()
    assert "A" * 22 not in text
    assert "code=abc" not in text
    assert SECRET not in text
    assert all(line.startswith("{") for line in text.splitlines() if not line.startswith(("Serving", "Note:", "Set ")))
