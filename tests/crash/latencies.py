"""`python -m tests.crash.latencies`: how long after an end's commit another node refuses, and an application is told.

Real processes over PostgreSQL, nothing else going on. The first clock starts when the answer to the sign-out arrives
(the commit came before it) and stops when the other node has refused the refresh. The second starts just before the
sign-out is sent and stops when the notice has arrived, so it holds the sign-out itself too; fifty other applications
take every notice and never answer.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import jwt
import requests

from idp.db.models import Client, SessionClient
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import new_secret
from idp.sessions import StartedSession
from tests.crash.cluster import Cluster
from tests.crash.own_postgres import OwnPostgres
from tests.crash.rounds import open_heart
from tests.support.heart import REDIRECT, Heart
from tests.support.receivers import Receiver

HANGING = 50
# Less than an attempt takes until its deadline: each hanging application always has one under way.
OCCUPY_EVERY_SECONDS = 4.0


class Stopwatch(Receiver):
    """An application that notes when it heard of which `sid`."""

    def __init__(self) -> None:
        super().__init__()
        self.heard_at: dict[str, float] = {}
        self._heard = threading.Condition()

    def _enter(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        now = time.monotonic()
        token = body.decode("ascii").partition("logout_token=")[2]
        with self._heard:
            self.heard_at[jwt.decode(token, options={"verify_signature": False})["sid"]] = now
            self._heard.notify_all()
        return super()._enter(method, path, headers, body)

    def wait_for(self, sid: str) -> float:
        """When the notice of this `sid` came."""
        with self._heard:
            assert self._heard.wait_for(lambda: sid in self.heard_at, timeout=60), "no notice"
            return self.heard_at[sid]


@dataclass
class Sample:
    """Seconds: from the acknowledged end to the refusal on the other node; from asking for the end to the notice."""

    refused: float
    told: float


class Measurement:
    """One installation, and one end after the other."""

    def __init__(self, cluster: Cluster, heart: Heart, healthy: Stopwatch, hanging: list[int]) -> None:
        self._cluster, self._heart, self._healthy = cluster, heart, healthy
        self._http = [requests.Session(), requests.Session()]
        self._client = self._public(healthy.port)
        self._others = [self._public(port) for port in hanging]

    def _public(self, port: int) -> Client:
        client = self._heart.client(backchannel_logout_uri=f"http://127.0.0.1:{port}/backchannel-logout")
        self._heart.change(client, token_endpoint_auth_method="none")
        return client

    def end_one(self, number: int, *, with_others: bool) -> Sample:
        """Somebody signs out of the healthy application; `with_others`: of the hanging ones by the same click."""
        person = self._heart.person()
        browser = self._heart.sign_in(person)
        if with_others:
            self._join(browser)
        tokens = self._redeem(browser)
        node, other = number % 2, 1 - number % 2
        self._http[other].get(self._cluster.url(other, "/healthz"), timeout=30)  # connections that are open already
        began = time.monotonic()
        self._sign_out(node, browser, tokens["id_token"])
        acknowledged = time.monotonic()
        self._must_be_refused(other, tokens["refresh_token"])
        refused = time.monotonic()
        sid = jwt.decode(tokens["id_token"], options={"verify_signature": False})["sid"]
        return Sample(refused - acknowledged, self._healthy.wait_for(sid) - began)

    def occupy(self) -> None:
        """Somebody signs out of all hanging applications: each has one more attempt under way."""
        person = self._heart.person()
        browser = self._heart.sign_in(person)
        self._join(browser)
        self._heart.end(person, browser.session_id)

    def _join(self, browser: StartedSession) -> None:
        """The session takes part in all of them: written in one go, since the rules would keep the machine busy."""
        now = self._heart.now
        with self._heart.database.transaction() as tx:
            tx.add_all(
                SessionClient(
                    id=new_identifier(shard_key_in(browser.session_id), now),
                    session_id=browser.session_id,
                    client_id=client.id,
                    sid=new_secret(128).reveal(),
                    started_at=now,
                )
                for client in self._others
            )

    def _redeem(self, browser: StartedSession) -> dict[str, str]:
        code = self._heart.code(browser, self._client).reveal()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "client_id": self._client.id,
        }
        answer: dict[str, str] = self._http[0].post(self._cluster.url(0, "/oauth2/token"), data=form, timeout=30).json()
        return answer

    def _sign_out(self, node: int, browser: StartedSession, hint: str) -> None:
        answer = self._http[node].get(
            self._cluster.url(node, "/oauth2/logout"),
            params={"id_token_hint": hint},
            headers={"Cookie": f"idp_session={browser.handle.reveal()}"},
            allow_redirects=False,
            timeout=30,
        )
        assert "/signed-out" in answer.headers["Location"], answer.headers["Location"]

    def _must_be_refused(self, node: int, token: str) -> None:
        form = {"grant_type": "refresh_token", "client_id": self._client.id, "refresh_token": token}
        answer = self._http[node].post(self._cluster.url(node, "/oauth2/token"), data=form, timeout=30)
        assert answer.status_code == 400, "the other node still refreshes"


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="tests.crash.latencies", description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with us
    before = os.getloadavg()[0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="idp-latencies-")))
        healthy = Stopwatch()
        stack.enter_context(healthy)
        # They take the connection and whatever comes over it, and nobody looks at it.
        hanging = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000)) for _ in range(HANGING)]
        ports = [int(listener.getsockname()[1]) for listener in hanging]
        allow = ",".join(f"127.0.0.1:{port}" for port in [healthy.port, *ports])
        cluster = Cluster(
            folder,
            allow=allow,
            database=OwnPostgres(),
            IDP_DELIVERY_REQUEST_LIFETIME="5s",
            IDP_DELIVERY_LEASE_LIFETIME="30s",
        )
        stack.callback(cluster.end)
        measurement = Measurement(cluster, open_heart(cluster), healthy, ports)
        for number in range(20):  # what is slow once
            measurement.end_one(number, with_others=False)
        alone = [measurement.end_one(number, with_others=False) for number in range(given.samples)]
        beside, last = [], 0.0
        for number in range(given.samples):
            if time.monotonic() - last > OCCUPY_EVERY_SECONDS:
                measurement.occupy()
                last = time.monotonic()
            beside.append(measurement.end_one(number, with_others=False))
        together = [measurement.end_one(number, with_others=True) for number in range(given.samples // 4)]
    rows = [
        ("refusal on the other node", [sample.refused for sample in alone + beside]),
        ("notice, nobody else to tell", [sample.told for sample in alone]),
        (f"notice, {HANGING} others hanging", [sample.told for sample in beside]),
        (f"notice, {HANGING} hanging ones told by the same sign-out", [sample.told for sample in together]),
    ]
    print(f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after")  # noqa: T201
    print("| from the end to | ends | p50 ms | p95 ms | p99 ms | most ms |\n|---|---:|---:|---:|---:|---:|")  # noqa: T201
    for name, seconds in rows:
        print(_row(name, seconds))  # noqa: T201
    return 0


def _row(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    figures = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.95, 0.99)]
    return (
        f"| {name} | {len(ordered)} | "
        + " | ".join(f"{figure:.0f}" for figure in [*figures, ordered[-1] * 1000])
        + " |"
    )


if __name__ == "__main__":
    sys.exit(main())
