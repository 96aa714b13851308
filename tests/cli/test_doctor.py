"""`idp doctor`: one list of findings, exit status 1 exactly when something is broken."""

import json
from datetime import UTC, datetime

from idp import outbox
from tests.cli.shell import SECRET, Shell
from tests.support.heart import Heart
from tests.support.receivers import Receivers


def findings(shell: Shell, *more: str, healthy: bool) -> dict[str, list[tuple[str, str]]]:
    """State and message by name; fails when the exit status tells another story than the list."""
    result = shell.run("doctor", "--json", *more)
    report = json.loads(result.stdout)
    assert report["healthy"] is healthy, report
    assert result.exit_code == (0 if healthy else 1)
    assert any(check["state"] == "fail" for check in report["checks"]) is not healthy
    by_name: dict[str, list[tuple[str, str]]] = {}
    for check in report["checks"]:
        by_name.setdefault(check["name"], []).append((check["state"], check["message"]))
    return by_name


def test_a_fresh_installation_is_healthy_and_told_what_is_missing(shell: Shell) -> None:
    found = findings(shell, "--offline", healthy=True)

    assert [found[name][0][0] for name in ("settings", "database", "schema", "clock", "keys", "queue")] == ["ok"] * 6
    state, message = found["worker"][0]
    assert state == "warn"
    assert "Start `idp worker`" in message


def test_a_worker_that_reports_is_seen(shell: Shell, today: Heart) -> None:
    with today.database.transaction() as tx:
        outbox.report_worker(tx, name="node-1", now=datetime.now(UTC))

    assert findings(shell, "--offline", healthy=True)["worker"][0][0] == "ok"


def test_each_application_is_asked_and_one_that_we_may_not_reach_is_broken(
    shell: Shell, today: Heart, receivers: Receivers
) -> None:
    reached, blocked = receivers(400), receivers(400)
    today.client(name="Reached", backchannel_logout_uri=reached.uri)
    today.client(name="Blocked", backchannel_logout_uri=blocked.uri)
    today.client(name="Untold")
    gone = today.client(name="Gone", backchannel_logout_uri="http://127.0.0.1:1/bye")
    today.change(gone, disabled_at=today.now)
    shell.environment["IDP_OUTBOUND_ALLOW"] = f"127.0.0.1:{reached.port}"
    shell.environment["IDP_ISSUER"] = "http://127.0.0.1:1"

    found = findings(shell, healthy=False)

    assert found["issuer"][0][0] == "warn"
    said = {message.split()[0]: state for state, message in found["logout address"]}
    assert said == {"Reached": "ok", "Blocked": "fail", "Untold": "warn"}
    assert (len(reached.requests), len(blocked.requests)) == (1, 0)


def test_people_read_one_line_each(shell: Shell, today: Heart) -> None:
    today.client(name="Wiki")

    result = shell.run("doctor", "--offline")

    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} <= {"ok", "warn", "fail"}


def test_a_database_that_is_away_is_a_finding_and_not_the_end() -> None:
    shell = Shell({"IDP_SECRET": SECRET, "IDP_DATABASE_URL": "postgresql://idp:hunter2@127.0.0.1:1/idp"})

    found = findings(shell, "--offline", "--peer", "10.0.0.5", healthy=False)

    assert found["database"][0][0] == "fail"
    assert "IDP_DATABASE_URL" in found["database"][0][1]
    assert "hunter2" not in str(found)
    assert found["client address"] == [("ok", "A request from 10.0.0.5 is taken to come from 10.0.0.5.")]


def test_a_database_without_tables_and_keys_under_another_secret_are_broken(blank: Shell, shell: Shell) -> None:
    if "sqlite" in blank.environment["IDP_DATABASE_URL"]:
        assert "Run `idp init`" in blank.refusal("doctor")  # not even a file is there
    else:
        assert "idp init" in str(findings(blank, "--offline", healthy=False)["schema"])
    shell.environment["IDP_SECRET"] = "x" * 48
    assert findings(shell, "--offline", healthy=False)["keys"][0][0] == "fail"


def test_settings_that_can_not_be_are_one_sentence(shell: Shell) -> None:
    assert "IDP_ISSUER must be a URL" in shell.refusal("doctor", IDP_ISSUER="nonsense")
    assert "--forwarded-for needs --peer" in shell.refusal("doctor", "--forwarded-for", "1.2.3.4")
