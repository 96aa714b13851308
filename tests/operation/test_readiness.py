"""/healthz and /readyz: what makes a node not ready, what is only a warning, and what a probe may cost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from idp import keys, outbox
from idp.db import migrate
from idp.db.engine import Database, normalized_url
from idp.db.models import DeliveryState, LogoutDelivery, MailMessage, MailState, SigningKey
from idp.keys import ensure_keys
from idp.kit.clock import SystemClock
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret
from idp.kit.run_folder import VARIABLE
from idp.mail import Letter, enqueue_mail
from idp.operation.bounded import Bounded
from idp.operation.checks import Check, State, check_clock, measure_clock_difference
from idp.operation.readiness import Readiness
from idp.web.services import Services
from tests.operation.conftest import LogStream
from tests.support.characters import Provider
from tests.support.databases import migrating_app
from tests.support.heart import HandClock

OpenProvider = Callable[..., Provider]
LookAt = Callable[[str], None]
NOBODY = "postgresql+psycopg://idp:hunter2@127.0.0.1:1/idp"


class Node:
    """One node whose checks have the right time, and are made anew for each question."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.services: Services = replace(provider.services, clock=SystemClock())

    def ready(self) -> TestResponse:
        self.provider.app.extensions["idp.readiness"] = Readiness(self.services)
        return self.provider.get("/readyz")

    def findings(self) -> dict[str, tuple[str, str]]:
        body = self.ready().get_json()
        return {check["name"]: (check["state"], check["message"]) for check in body["checks"]}

    def report(self, *, seconds_ago: float = 0) -> None:
        with self.services.database.transaction() as tx:
            seen_at = self.services.clock.now() - timedelta(seconds=seconds_ago)
            outbox.report_worker(tx, name="node-1:1:x", now=seen_at)


@pytest.fixture
def node(open_provider: OpenProvider, hand_clock: HandClock) -> Node:
    hand_clock.moment = SystemClock().now() - timedelta(seconds=30)  # when its keys are made
    node = Node(open_provider())
    node.report()
    return node


def test_a_node_with_all_that_it_needs_is_ready(node: Node) -> None:
    response = node.ready()

    assert response.status_code == 200
    assert response.get_json()["status"] == "ready"
    assert [(check["name"], check["state"]) for check in response.get_json()["checks"]] == [
        (name, "ok") for name in ("database", "schema", "clock", "keys", "worker", "queue", "mail", "history")
    ]
    assert response.headers["Cache-Control"] == "no-store"


def test_health_asks_nobody(
    node: Node, count_statements: Callable[[], AbstractContextManager[list[str]]], monkeypatch: pytest.MonkeyPatch
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


def test_probes_leave_no_cookie_and_accept_no_form(node: Node) -> None:
    assert "Set-Cookie" not in node.ready().headers
    assert node.provider.post("/readyz", {}).status_code in {400, 405}
    assert node.provider.app.test_client().head("/healthz").status_code == 200


# ── The database ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def look_at(node: Node) -> Iterator[Callable[[str], None]]:
    """Lets the node's checks look at another database."""
    engines: list[Engine] = []

    def other(url: str) -> None:
        engines.append(create_engine(url, connect_args={"connect_timeout": 1} if "postgresql" in url else {}))
        node.services = replace(node.services, database=Database(engines[-1]))

    yield other
    for engine in engines:
        engine.dispose()


def test_a_database_that_is_away_makes_a_node_not_ready_and_tells_nothing_of_it(
    node: Node, look_at: LookAt, log: LogStream
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


def test_a_database_that_fails_halfway_through_the_checks_is_reported_once(node: Node) -> None:
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


def test_a_database_that_hangs_costs_one_thread_and_a_bounded_time(node: Node) -> None:
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


def test_an_empty_database_is_told_as_such(node: Node, look_at: LookAt, blank_database_url: str) -> None:
    look_at(normalized_url(blank_database_url))

    assert node.ready().status_code == 503
    assert node.findings()["schema"] == ("failed", "The database is empty. Run `idp init`.")


def test_a_database_with_an_older_schema_is_refused_with_the_remedy(
    node: Node, look_at: LookAt, blank_database_url: str
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
def test_a_clock_that_differs_from_the_databases_makes_a_node_not_ready(node: Node, seconds: int) -> None:
    class Wrong:
        def now(self) -> datetime:
            return SystemClock().now() + timedelta(seconds=seconds)

    assert check_clock(node.services.database, SystemClock()).state is State.OK
    node.services = replace(node.services, clock=Wrong())

    assert node.ready().status_code == 503
    assert "more than 2 s. Let both keep time by NTP" in node.findings()["clock"][1]


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
def test_a_slow_way_to_the_database_is_not_taken_for_a_wrong_clock(node: Node) -> None:
    class Slow:
        """The first reading is from four seconds before the answer, the second from now."""

        def __init__(self) -> None:
            self.moments = [SystemClock().now() - timedelta(seconds=4), SystemClock().now()]

        def now(self) -> Any:
            return self.moments.pop(0)

    assert measure_clock_difference(node.services.database, Slow()) < timedelta(seconds=1)


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
def test_an_embedded_database_has_the_nodes_own_clock(node: Node, hand_clock: HandClock) -> None:
    node.services = replace(node.services, clock=hand_clock)

    assert node.findings()["clock"] == ("ok", "Node and database share one.")


def test_every_algorithm_that_a_client_needs_needs_a_key(node: Node) -> None:
    provider = node.provider
    assert node.findings()["keys"] == ("ok", "There is one for each of ES256.")

    rp = provider.relying_party(name="Old", id_token_signed_response_alg="RS256")
    assert node.ready().status_code == 503
    assert "No key can sign RS256" in node.findings()["keys"][1]

    provider.keys("RS256")
    assert node.ready().status_code == 200
    provider.heart.change(rp.client, disabled_at=provider.heart.now)
    assert node.findings()["keys"] == ("ok", "There is one for each of ES256.")


def test_a_node_whose_keys_do_not_open_is_not_ready(node: Node) -> None:
    with node.services.database.transaction() as tx:
        tx.query(SigningKey).delete()
        ensure_keys(
            tx, keyring=Keyring(Secret("another installation's secret, long enough")), now=node.provider.heart.now
        )
    node.services.keys.forget()

    assert node.ready().status_code == 503
    assert "No key can sign ES256" in node.findings()["keys"][1]


def test_a_key_of_the_future_signs_nothing_yet(node: Node) -> None:
    now = node.provider.heart.now
    with node.services.database.transaction() as tx:
        tx.query(SigningKey).delete()
        keys.create_key(
            tx, algorithm="ES256", keyring=node.services.keyring, now=now, activates_at=now + timedelta(hours=1)
        )
    node.services.keys.forget()

    assert node.findings()["keys"][0] == "failed"


# ── Worker and queue ──────────────────────────────────────────────────────────────────────────────────────────────────


def silence_worker(node: Node) -> None:
    with node.services.database.transaction() as tx:
        outbox.forget_worker(tx, name="node-1:1:x")


def test_without_a_worker_a_node_is_ready_with_a_warning_unless_the_settings_want_one(
    open_provider: OpenProvider, hand_clock: HandClock
) -> None:
    hand_clock.moment = SystemClock().now() - timedelta(seconds=30)
    for needs_worker, status, state in ((False, 200, "warning"), (True, 503, "failed")):
        node = Node(open_provider(readiness_needs_worker=needs_worker))

        assert node.findings()["worker"][0] == state
        assert "None has reported" in node.findings()["worker"][1]
        assert node.ready().status_code == status, node.findings()
        node.report(seconds_ago=50)
        assert node.findings()["worker"][0] == "ok"
        silence_worker(node)
        node.report(seconds_ago=180)
        assert node.findings()["worker"][0] == state
        assert "is 3 min old" in node.findings()["worker"][1]
        silence_worker(node)


def test_notices_that_leave_late_are_a_warning(node: Node) -> None:
    heart = node.provider.heart
    person, client = heart.person(), heart.client(backchannel_logout_uri="https://wiki.example/out")
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    assert node.findings()["queue"] == ("ok", "1 wait.")

    (delivery,) = heart.all(LogoutDelivery)
    heart.change(delivery, next_attempt_at=SystemClock().now() - timedelta(minutes=5))
    assert node.ready().status_code == 200
    assert node.findings()["queue"] == ("warning", "1 wait, one for 5 min longer than it should. Add workers.")

    heart.change(delivery, state=DeliveryState.TOLD, settled_at=heart.now)
    assert node.findings()["queue"] == ("ok", "0 wait.")


def test_mail_that_does_not_leave_is_a_warning(node: Node) -> None:
    heart = node.provider.heart
    assert node.findings()["mail"] == ("ok", "No mail server is set (IDP_SMTP_HOST): nobody is written to.")
    person = heart.person()
    settings = heart.settings.model_copy(update={"smtp_host": "mail.example.com"})
    letter = Letter(kind="notice", subject="A subject", body="A text")
    with heart.database.transaction() as tx:
        enqueue_mail(tx, user_id=person.id, letter=letter, settings=settings, now=SystemClock().now())
    (message,) = heart.all(MailMessage)

    long_ago = SystemClock().now() - timedelta(minutes=20)
    heart.change(message, next_attempt_at=long_ago)
    assert node.findings()["mail"] == ("warning", "1 wait, one for 20 min longer than it should. Add workers.")
    heart.change(message, next_attempt_at=SystemClock().now() + timedelta(minutes=9), created_at=long_ago)
    assert "the oldest for 20 min. See" in node.findings()["mail"][1]
    heart.change(message, state=MailState.GAVE_UP, settled_at=SystemClock().now() - timedelta(hours=23))
    assert node.findings()["mail"][1].startswith("1 given up within a day.")
    assert node.ready().status_code == 200

    heart.change(message, settled_at=SystemClock().now() - timedelta(hours=25))
    assert node.findings()["mail"][0] == "ok"
    assert "ada" not in str(node.findings())


# ── What it costs, and what it gives away ─────────────────────────────────────────────────────────────────────────────


def test_the_database_is_asked_once_a_second_however_often_the_node_is_asked() -> None:
    asked, time = [], [100.0]

    def question() -> int:
        asked.append(1)
        return len(asked)

    bounded = Bounded(question, too_late=0, monotonic=lambda: time[0])
    answers = [bounded.ask() for _ in range(50)]
    time[0] += 0.9
    answers.append(bounded.ask())
    time[0] += 0.2
    answers.append(bounded.ask())

    assert answers == [1] * 51 + [2]


def test_many_who_ask_at_once_wait_for_the_same_answer() -> None:
    asked, may_answer = [], threading.Event()

    def question() -> int:
        asked.append(1)
        may_answer.wait(30)
        return 7

    bounded = Bounded(question, too_late=0, bound_seconds=30)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(bounded.ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_answer.set()
    for thread in threads:
        thread.join(30)

    assert answers == [7] * 8
    assert len(asked) == 1


def test_the_findings_name_no_person_client_host_or_secret(node: Node) -> None:
    provider = node.provider
    person, rp = provider.person("ada"), provider.relying_party(name="Wiki")

    body = node.ready().text

    for private in (person.email, person.id, rp.id, "Wiki", provider.settings.database_url, "node-1:1:x", "localhost"):
        assert str(private) not in body


def test_a_change_is_logged_once_and_not_with_every_probe(node: Node, log: LogStream) -> None:
    readiness = Readiness(node.services, check=lambda _services: iter([Check("keys", State.FAILED, "none")]))

    for _ in range(3):
        readiness.ask()

    (line,) = log.lines("readiness_changed")
    assert line["ready"] is False
    assert line["problems"] == ["keys: none"]


def test_a_run_that_drains_is_not_ready_at_once_but_healthy(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert node.ready().status_code == 200

    (tmp_path / "draining").touch()
    response = node.provider.get("/readyz")  # well within the second in which answers are remembered

    assert response.status_code == 503
    assert response.get_json()["checks"][0]["name"] == "draining"
    assert node.provider.get("/healthz").status_code == 200


def test_a_newer_schema_is_ready(node: Node) -> None:
    with node.services.database.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))
    try:
        assert node.ready().status_code == 200
        assert node.findings()["schema"] == ("ok", "It is a newer version's, which this one can work on.")
    finally:  # the database of this worker is used again
        with node.services.database.transaction() as tx:
            head = next(iter(migrate._history()[1]))
            tx.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})
