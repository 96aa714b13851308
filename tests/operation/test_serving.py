"""Real processes: draining, rolling restarts without a lost request, gunicorn's own lines."""

import json
import signal
import socket
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

import pytest

from tests.operation.nodes import BODY, FORM, SECRET, Node, OpenNode, make_service
from tests.support.heart import Heart
from tests.support.processes import until

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


# ── What the server itself logs ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_gunicorns_own_lines_pass_the_same_pipeline_and_there_is_no_access_log_of_its(open_node: OpenNode) -> None:
    node = open_node()
    node.start("--without-worker", "--workers", "1", "--threads", "1")
    assert node.get("/oauth2/jwks")[0] == 200
    receipt = "0" * 26 + "." + "A" * 22
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as stranger:
        stranger.sendall(f"GET /signed-out/{receipt} NONSENSE/9.9\r\nX: y\r\n\r\n".encode())
        assert b"400" in stranger.recv(100)
    assert node.get(f"/signed-out/{receipt}?code=abc")[0] == 404
    assert node.get("/oauth2/logout?id_token_hint=" + "x" * 7000)[0] == 303, "long hints arrive"
    assert node.get("/login")[0] == 200

    until(lambda: any(line["event"] == "request" and line["route"] == "/login" for line in node.lines))
    (complaint,) = [line for line in node.lines if line.get("logger") == "gunicorn.error"]
    assert complaint["level"] == "warning"
    assert complaint["event"].startswith("Invalid request from ip=127.0.0.1")
    assert "request_id" not in complaint, "the thread remembers whom it answered before"
    assert {line["route"] for line in node.lines if line["event"] == "request"} == {
        *("/signed-out/<handle>", "/oauth2/jwks", "/oauth2/logout", "/login")
    }
    text = node.log.read_text()
    assert "A" * 22 not in text
    assert "code=abc" not in text
    assert SECRET not in text
    assert all(line.startswith("{") for line in text.splitlines() if not line.startswith(("Serving", "Note:", "Set ")))
