"""Two service nodes and a worker over one PostgreSQL, killed with SIGKILL again and again while people come and go.

Afterwards every acknowledged rotation, end and revocation holds, every notice has arrived, and nobody whose answer was
lost needed more than one retry. Real processes, real clocks, real HTTP.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from idp.db.engine import Database
from idp.db.models import Client, DeliveryState, LogoutDelivery, Session, SessionClient, TokenFamily
from idp.keys import ensure_keys
from idp.kit.keyring import Keyring
from idp.settings import load_settings
from tests.support.databases import open_engine
from tests.support.heart import HandClock, Heart
from tests.support.receivers import Receiver

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret for tests only, long enough to be taken"
CLIENTS_AT_ONCE = 4
ROUNDS = 2


class WallClock(HandClock):
    """The heart's clock, but right: the processes have no other."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Cluster:
    """Two nodes and a worker; whoever is killed is started again, as a supervisor would."""

    def __init__(self, url: str, folder: Path, receiver_port: int) -> None:
        self.ports = [_free_port(), _free_port()]
        self.issuer = f"http://localhost:{self.ports[0]}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
        self.environment = clean | {
            "IDP_DATABASE_URL": url,
            "IDP_SECRET": SECRET,
            "IDP_ISSUER": self.issuer,
            "IDP_VAR_DIR": str(folder),
            "IDP_OUTBOUND_ALLOW": f"127.0.0.1:{receiver_port}",
            "IDP_DELIVERY_LEASE_LIFETIME": "2s",
            "IDP_DELIVERY_REQUEST_LIFETIME": "1s",
            "IDP_DATABASE_POOL_SIZE": "4",
        }
        self._log = (folder / "log.txt").open("ab")
        serve = ("serve", "--workers", "1", "--threads", "4", "--without-worker", "--port")
        self._commands = [(*serve, str(port)) for port in self.ports] + [("worker",)]
        self._running = [self._start(command) for command in self._commands]
        self.kills = 0

    def _start(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "idp.cli", *command],
            cwd=ROOT,
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def url(self, node: int, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[node]}{path}"

    def wait_for(self, node: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if requests.get(self.url(node, "/.well-known/openid-configuration"), timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError(f"node {node} does not come up")

    def kill(self, which: int) -> None:
        """SIGKILL to a program and all of its processes, in the middle of whatever they do; then start it again."""
        self.kills += 1
        os.killpg(self._running[which].pid, signal.SIGKILL)
        self._running[which].wait()
        self._running[which] = self._start(self._commands[which])

    def end(self) -> None:
        for process in self._running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._log.close()


@dataclass
class Tally:
    """What the clients saw."""

    rotations: int = 0
    ends: int = 0
    revocations: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    ended_sids: set[str] = field(default_factory=set)
    held: list[tuple[Client, str]] = field(default_factory=list)


@pytest.fixture
def wall_heart(postgresql_url: str) -> Iterator[Heart]:
    engine = open_engine(postgresql_url)
    settings = load_settings({}, database_url=postgresql_url, secret=SECRET)
    yield Heart(
        Database(engine),
        lambda: Database(open_engine(postgresql_url)),
        WallClock(),
        settings,
        Keyring(settings.known_secret),
    )
    engine.dispose()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def cluster(wall_heart: Heart, postgresql_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[Cluster]:
    with wall_heart.database.transaction() as tx:
        ensure_keys(tx, keyring=wall_heart.keyring, now=wall_heart.now)
    cluster = Cluster(postgresql_url, tmp_path, receiver.port)
    yield cluster
    cluster.end()


class Person(threading.Thread):
    """Signs in (by the rules), then lets an application refresh and sign out through whichever node answers."""

    def __init__(
        self, heart: Heart, cluster: Cluster, clients: tuple[Client, Client], is_over: threading.Event, seed: int
    ) -> None:
        super().__init__()
        self.heart, self.cluster, self.clients, self.is_over = heart, cluster, clients, is_over
        self.chance = random.Random(seed)
        self.tally = Tally()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.is_over.is_set():
                self._one_life()
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def _one_life(self) -> None:
        web, tool = self.clients
        person = self.heart.person()
        browser = self.heart.sign_in(person)
        issued = self.heart.tokens_for(browser, web)
        installed = self.heart.tokens_for(browser, tool, "openid offline_access")
        assert issued.refresh_token is not None
        assert installed.refresh_token is not None
        token, tool_token, hint = issued.refresh_token.reveal(), installed.refresh_token.reveal(), ""
        for _ in range(self.chance.randint(2, 6)):
            token, hint = self._refresh(web, token)
            tool_token, _ = self._refresh(tool, tool_token)
        self._sign_out(browser.handle.reveal(), hint)
        self._must_be_dead(web, token)
        self.tally.ended_sids.add(jwt.decode(hint, options={"verify_signature": False})["sid"])
        if self.chance.random() < 0.5:
            self._try(lambda node: self._post(node, "/oauth2/revoke", client_id=tool.id, token=tool_token), {200})
            self.tally.revocations += 1
            self._must_be_dead(tool, tool_token)
        else:
            self.tally.held.append((tool, tool_token))

    def _refresh(self, client: Client, token: str) -> tuple[str, str]:
        form = {"grant_type": "refresh_token", "client_id": client.id, "refresh_token": token}
        answer = self._try(lambda node: self._post(node, "/oauth2/token", **form), {200}).json()
        self.tally.rotations += 1
        return answer["refresh_token"], answer["id_token"]

    def _sign_out(self, cookie: str, hint: str) -> None:
        def call(node: int) -> requests.Response:
            return requests.get(
                self.cluster.url(node, "/oauth2/logout"),
                params={"id_token_hint": hint},
                cookies={"idp_session": cookie},
                allow_redirects=False,
                timeout=10,
            )

        answer = self._try(call, {303})
        assert "/signed-out" in answer.headers["Location"], answer.headers["Location"]
        self.tally.ends += 1

    def _must_be_dead(self, client: Client, token: str) -> None:
        form = {"grant_type": "refresh_token", "client_id": client.id, "refresh_token": token}
        self._try(lambda node: self._post(node, "/oauth2/token", **form), {400})

    def _post(self, node: int, path: str, **form: str) -> requests.Response:
        return requests.post(self.cluster.url(node, path), data=form, timeout=10)

    def _try(self, call: Callable[[int], requests.Response], wanted: set[int]) -> requests.Response:
        """An honest client: an answer that was lost is asked for again; the first that arrives must be right."""
        for _ in range(200):
            node = self.chance.randrange(2)
            try:
                answer = call(node)
            except requests.RequestException:
                self.tally.lost += 1
                time.sleep(0.02)
                continue
            if answer.status_code == 503:
                continue
            if answer.status_code not in wanted:
                self.tally.wrong.append(f"{answer.request.url}: {answer.status_code} {answer.text[:200]}")
                raise AssertionError(self.tally.wrong[-1])
            return answer
        raise AssertionError("no node answers")


@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives_killed_services_and_workers(
    wall_heart: Heart, cluster: Cluster, receiver: Receiver
) -> None:
    without_leeway = {"refresh_leeway_lifetime": timedelta(0)}  # every refresh rotates
    web = wall_heart.client(name="Web", backchannel_logout_uri=receiver.uri, **without_leeway)
    tool = wall_heart.client(name="Tool", **without_leeway)
    for client in (web, tool):
        wall_heart.change(client, token_endpoint_auth_method="none")
    for node in range(2):
        cluster.wait_for(node)
    is_over = threading.Event()
    people = [Person(wall_heart, cluster, (web, tool), is_over, seed) for seed in range(CLIENTS_AT_ONCE)]
    for person in people:
        person.start()
    for number in range(ROUNDS):
        cluster.kill(2)
        cluster.kill(number % 2)
        cluster.wait_for(number % 2)
        time.sleep(random.uniform(0.1, 1))
    is_over.set()
    for person in people:
        person.join(90)

    assert [person.error for person in people if person.error] == []
    lost = sum(person.tally.lost for person in people)
    ends = sum(person.tally.ends for person in people)
    print(f"{cluster.kills} kills, {lost} lost answers, {ends} ends")  # noqa: T201 - figures, not an assertion
    assert lost >= 1, "the kills hit nobody: the test says nothing"
    assert ends >= 3
    _until_all_told(wall_heart, receiver, {sid for person in people for sid in person.tally.ended_sids})
    ended = {session.id for session in wall_heart.all(Session, Session.ended_at.is_not(None))}
    assert not [
        row for row in wall_heart.all(SessionClient, SessionClient.ended_at.is_(None)) if row.session_id in ended
    ]
    assert not [row for row in wall_heart.all(TokenFamily, TokenFamily.revoked_at.is_(None)) if row.session_id in ended]
    for person in people:
        for client, token in person.tally.held:
            person._refresh(client, token)


def _until_all_told(heart: Heart, receiver: Receiver, sids: set[str]) -> None:
    deadline = time.monotonic() + 60
    pending: list[Any] = []
    while time.monotonic() < deadline:
        pending = heart.all(LogoutDelivery, LogoutDelivery.state == DeliveryState.PENDING)
        if not pending:
            break
        time.sleep(0.2)
    assert pending == []
    told = {delivery.sid for delivery in heart.all(LogoutDelivery, LogoutDelivery.state == DeliveryState.TOLD)}
    received = {jwt.decode(token, options={"verify_signature": False})["sid"] for token in receiver.tokens}
    assert told == sids
    assert received >= sids
