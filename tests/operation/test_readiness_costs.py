"""/readyz: what a probe may cost, what it gives away, and what is logged of it."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from idp.db import migrate
from idp.kit.run_folder import VARIABLE
from idp.operation.bounded import Bounded
from idp.operation.checks import Check, State
from idp.operation.readiness import Readiness
from tests.operation.conftest import LogStream
from tests.operation.probes import ProbedNode


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


def test_the_findings_name_no_person_client_host_or_secret(node: ProbedNode) -> None:
    provider = node.provider
    person, rp = provider.person("ada"), provider.relying_party(name="Wiki")

    body = node.ready().text

    for private in (person.email, person.id, rp.id, "Wiki", provider.settings.database_url, "node-1:1:x", "localhost"):
        assert str(private) not in body


def test_a_change_is_logged_once_and_not_with_every_probe(node: ProbedNode, log: LogStream) -> None:
    readiness = Readiness(node.services, check=lambda _services: iter([Check("keys", State.FAILED, "none")]))

    for _ in range(3):
        readiness.ask()

    (line,) = log.lines("readiness_changed")
    assert line["ready"] is False
    assert line["problems"] == ["keys: none"]


def test_a_run_that_drains_is_not_ready_at_once_but_healthy(
    node: ProbedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert node.ready().status_code == 200

    (tmp_path / "draining").touch()
    response = node.provider.get("/readyz")  # well within the second in which answers are remembered

    assert response.status_code == 503
    assert response.get_json()["checks"][0]["name"] == "draining"
    assert node.provider.get("/healthz").status_code == 200


def test_a_newer_schema_is_ready(node: ProbedNode) -> None:
    with node.services.database.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))
    try:
        assert node.ready().status_code == 200
        assert node.findings()["schema"] == ("ok", "It is a newer version's, which this one can work on.")
    finally:  # the database of this worker is used again
        with node.services.database.transaction() as tx:
            head = next(iter(migrate._history()[1]))
            tx.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})
