"""/healthz and /readyz: what makes a node not ready, and what it says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError

from idp import keys
from idp.db import migrate
from idp.db.engine import Database, normalized_url
from idp.db.models import SigningKey
from idp.keys import ensure_keys
from idp.kit.clock import SystemClock
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret
from idp.operation.checks import Check, State, check_clock, measure_clock_difference
from idp.operation.readiness import Readiness
from idp.web.services import Services
from tests.operation.conftest import LogStream
from tests.operation.probes import OpenProvider, ProbedNode
from tests.support.databases import migrating_app
from tests.support.heart import HandClock

LookAt = Callable[[str], None]


NOBODY = "postgresql+psycopg://idp:hunter2@127.0.0.1:1/idp"


def test_a_node_with_all_that_it_needs_is_ready(node: ProbedNode) -> None:
    response = node.ready()

    assert response.status_code == 200
    assert response.get_json()["status"] == "ready"
    assert [(check["name"], check["state"]) for check in response.get_json()["checks"]] == [
        (name, "ok") for name in ("database", "schema", "clock", "keys", "worker", "queue", "mail", "history")
    ]
    assert response.headers["Cache-Control"] == "no-store"


def test_health_asks_nobody(
    node: ProbedNode, count_statements: Callable[[], AbstractContextManager[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "reading", lambda _self: 1 / 0)

    with count_statements() as statements:
        response = node.provider.get("/healthz")

    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})
    assert statements == []


def test_probes_are_answered_at_the_root_of_a_node_whose_issuer_has_a_path(open_provider: OpenProvider) -> None:
    client = open_provider(issuer="http://localhost/id").app.test_client()

    assert client.get("/healthz").status_code == 200
    assert client.get("/id/healthz").status_code == 404


def test_probes_leave_no_cookie_and_accept_no_form(node: ProbedNode) -> None:
    assert "Set-Cookie" not in node.ready().headers
    assert node.provider.post("/readyz", {}).status_code in {400, 405}
    assert node.provider.app.test_client().head("/healthz").status_code == 200


# ── The database ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def look_at(node: ProbedNode) -> Iterator[Callable[[str], None]]:
    """Lets the node's checks look at another database."""
    engines: list[Engine] = []

    def other(url: str) -> None:
        engines.append(create_engine(url, connect_args={"connect_timeout": 1} if "postgresql" in url else {}))
        node.services = replace(node.services, database=Database(engines[-1]))

    yield other
    for engine in engines:
        engine.dispose()


def test_a_database_that_is_away_makes_a_node_not_ready_and_tells_nothing_of_it(
    node: ProbedNode, look_at: LookAt, log: LogStream
) -> None:
    look_at(NOBODY)

    response = node.ready()

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    (check,) = response.get_json()["checks"]
    assert (check["name"], check["state"]) == ("database", "failed")
    assert "OperationalError" in check["message"]
    assert "127.0.0.1" not in response.text
    assert "hunter2" not in response.text + log.text
    assert log.lines("readiness_check_failed")


def test_a_database_that_fails_halfway_through_the_checks_is_reported_once(node: ProbedNode) -> None:
    def break_down(_services: Services) -> Iterator[Check]:
        yield Check("database", State.OK, "It answers.")
        yield Check("schema", State.OK, "")
        raise OperationalError("SELECT", {}, Exception("gone"))

    report = Readiness(node.services, check=break_down).ask()

    assert [(check.name, check.state) for check in report.checks] == [
        ("schema", State.OK),
        ("database", State.FAILED),
    ]
    assert not report.is_ready


def test_a_database_that_hangs_costs_one_thread_and_a_bounded_time(node: ProbedNode) -> None:
    hangs, begun = threading.Event(), []

    def hang(_services: Services) -> Iterator[Check]:
        begun.append(1)
        hangs.wait(30)
        yield Check("database", State.OK, "at last")

    readiness = Readiness(node.services, check=hang, bound_seconds=0.05)
    reports = [readiness.ask() for _ in range(5)]
    hangs.set()

    assert not any(report.is_ready for report in reports)
    assert reports[0].checks[0].message == "It did not answer within 2 s."
    assert len(begun) == 1


def test_an_empty_database_is_told_as_such(node: ProbedNode, look_at: LookAt, blank_database_url: str) -> None:
    look_at(normalized_url(blank_database_url))

    assert node.ready().status_code == 503
    assert node.findings()["schema"] == ("failed", "The database is empty. Run `idp init`.")


def test_a_database_with_an_older_schema_is_refused_with_the_remedy(
    node: ProbedNode, look_at: LookAt, blank_database_url: str
) -> None:
    with migrating_app(blank_database_url) as app:
        migrate.upgrade(app, "0001")
    look_at(normalized_url(blank_database_url))

    assert node.ready().status_code == 503
    assert node.findings() == {
        "database": ("ok", "It answers."),
        "schema": ("failed", "The database has an older schema than this version needs. Run `idp db upgrade`."),
    }


# ── Clock and keys ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("seconds", [-3, 3])
def test_a_clock_that_differs_from_the_databases_makes_a_node_not_ready(node: ProbedNode, seconds: int) -> None:
    class Wrong:
        def now(self) -> datetime:
            return SystemClock().now() + timedelta(seconds=seconds)

    assert check_clock(node.services.database, SystemClock()).state is State.OK
    node.services = replace(node.services, clock=Wrong())

    assert node.ready().status_code == 503
    assert "more than 2 s. Let both keep time by NTP" in node.findings()["clock"][1]


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
def test_a_slow_way_to_the_database_is_not_taken_for_a_wrong_clock(node: ProbedNode) -> None:
    class Slow:
        """The first reading is from four seconds before the answer, the second from now."""

        def __init__(self) -> None:
            self.moments = [SystemClock().now() - timedelta(seconds=4), SystemClock().now()]

        def now(self) -> Any:
            return self.moments.pop(0)

    assert measure_clock_difference(node.services.database, Slow()) < timedelta(seconds=1)


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_an_embedded_database_has_the_nodes_own_clock(node: ProbedNode, hand_clock: HandClock) -> None:
    node.services = replace(node.services, clock=hand_clock)

    assert node.findings()["clock"] == ("ok", "Node and database share one.")


def test_every_algorithm_that_a_client_needs_needs_a_key(node: ProbedNode) -> None:
    provider = node.provider
    assert node.findings()["keys"] == ("ok", "There is one for each of ES256.")

    rp = provider.relying_party(name="Old", id_token_signed_response_alg="RS256")
    assert node.ready().status_code == 503
    assert "No key can sign RS256" in node.findings()["keys"][1]

    provider.keys("RS256")
    assert node.ready().status_code == 200
    provider.heart.change(rp.client, disabled_at=provider.heart.now)
    assert node.findings()["keys"] == ("ok", "There is one for each of ES256.")


def test_a_node_whose_keys_do_not_open_is_not_ready(node: ProbedNode) -> None:
    with node.services.database.transaction() as tx:
        tx.query(SigningKey).delete()
        ensure_keys(
            tx, keyring=Keyring(Secret("another installation's secret, long enough")), now=node.provider.heart.now
        )
    node.services.keys.forget()

    assert node.ready().status_code == 503
    assert "No key can sign ES256" in node.findings()["keys"][1]


def test_a_key_of_the_future_signs_nothing_yet(node: ProbedNode) -> None:
    now = node.provider.heart.now
    with node.services.database.transaction() as tx:
        tx.query(SigningKey).delete()
        keys.create_key(
            tx, algorithm="ES256", keyring=node.services.keyring, now=now, activates_at=now + timedelta(hours=1)
        )
    node.services.keys.forget()

    assert node.findings()["keys"][0] == "failed"
