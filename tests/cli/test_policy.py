"""`idp policy`: what an operator types, and what is said."""

from datetime import UTC, datetime, timedelta

import pytest

from idp.db.models import AuditEvent, EndReason
from idp.tokens import Refused
from tests.cli.shell import Shell
from tests.support.heart import Heart


def test_a_decision_is_said_to_count_at_once_and_is_listed(shell: Shell, today: Heart) -> None:
    said = shell.run("policy", "set", "browser-idle-lifetime", "8h")

    assert said.exit_code == 0, said.output
    assert "browser_idle_lifetime is 8h now; it was 1d." in said.stdout
    assert "at once, on every node" in said.stdout
    assert "a worker writes that down and tells the applications" in said.stdout
    rows = {row["policy"]: row for row in shell.json("policy", "list")}
    assert rows["browser_idle_lifetime"]["value"] == "8h"
    assert rows["browser_idle_lifetime"]["otherwise"] == "1d"
    assert rows["browser_idle_lifetime"]["is_decided"] is True
    assert rows["app_idle_lifetime"]["is_decided"] is False
    table = shell.run("policy", "list").stdout
    assert "app_sessions_per_client" in table
    assert [event.actor for event in today.all(AuditEvent, AuditEvent.kind == "policy_changed")] == [
        "administrator:cli"
    ]


def test_a_longer_value_announces_no_ends(shell: Shell) -> None:
    assert "writes that down" not in shell.run("policy", "set", "browser_idle_lifetime", "30h").stdout


def test_a_decision_that_changes_nothing_says_so(shell: Shell) -> None:
    assert shell.run("policy", "set", "keep_signed_in", "on").stdout == "keep_signed_in is on, as before.\n"


def test_a_decision_is_taken_back(shell: Shell) -> None:
    shell.json("policy", "set", "keep_signed_in", "off")

    assert shell.json("policy", "unset", "keep_signed_in") == {
        "policy": "keep_signed_in",
        "client_id": None,
        "before": "off",
        "value": "on",
        "changed": True,
    }
    assert not any(row["is_decided"] for row in shell.json("policy", "list"))


def test_one_application_has_its_own(shell: Shell, today: Heart) -> None:
    client = today.client()

    assert shell.json("policy", "set", "app_idle_lifetime", "2d", "--client", client.id)["value"] == "2d"

    rows = {row["policy"]: row for row in shell.json("policy", "list", "--client", client.id)}
    assert (rows["app_idle_lifetime"]["value"], rows["app_idle_lifetime"]["is_decided"]) == ("2d", True)
    assert "access_token_lifetime" in rows
    assert "keep_signed_in" not in rows


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "browser_idle_lifetime", "1m"), "must be 5m to 3650d"),
        (("set", "everything", "1m"), "There is no policy"),
        (("unset", "everything"), "There is no policy"),
        (("set", "app_idle_lifetime", "1d", "--client", "nobody"), "No application has that client_id"),
        (("list", "--client", "nobody"), "No application has that client_id"),
        (("set", "keep_signed_in", "off", "--client", "nobody"), "leave --client out"),
        (("set", "browser_idle_lifetime"), "Missing argument 'VALUE'"),
    ],
)
def test_what_can_not_be_is_one_sentence(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    assert says in shell.refusal("policy", *arguments)


def test_everyone_is_asked_to_sign_in_again(shell: Shell, today: Heart) -> None:
    started = today.sign_in(today.person())
    today.clock.moment = datetime.now(UTC)

    said = shell.run("policy", "sign-in-again", "--everyone")

    assert "is over: at once, on every node." in said.stdout
    assert today.current(started.handle) is None
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert shell.json("policy", "sign-in-again", "--everyone", "--since", moment)["changed"] is False


def test_a_person_is_asked_to_sign_in_again(shell: Shell, today: Heart) -> None:
    person = today.person()
    today.clock.advance(hours=-3)
    started = today.sign_in(person)
    today.clock.advance(hours=3)
    an_hour_ago = (today.now - timedelta(hours=1)).isoformat()

    done = shell.json("policy", "sign-in-again", "--user", str(person.email), "--since", an_hour_ago)

    assert (done["whom"], done["ended"]["browsers"]) == ("user", 1)
    assert today.session(started.session_id).end_reason == EndReason.SIGN_IN_AGAIN
    again = shell.run("policy", "sign-in-again", "--user", str(person.email), "--since", an_hour_ago)
    assert again.stdout == "Nothing rests on an older sign-in of that person.\n"


def test_an_application_asks_for_new_sign_ins_and_the_command_may_be_repeated(shell: Shell, today: Heart) -> None:
    client = today.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
    started = today.sign_in(today.person())
    token = today.tokens_for(started, client)

    done = shell.json("policy", "sign-in-again", "--client", client.id)
    again = shell.run("policy", "sign-in-again", "--client", client.id)

    assert (done["changed"], done["people"], done["applications_to_tell"]) == (True, 1, 1)
    assert "Wiki takes no sign-in older than" in again.stdout
    assert "signed out of it" not in again.stdout
    assert isinstance(today.refresh(token, client), Refused)
    assert today.session(started.session_id).ended_at is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give one of --user, --client and --everyone"),
        (("--everyone", "--user", "ada"), "Give one of --user, --client and --everyone"),
        (("--everyone", "--since", "2999-01-01T00:00:00Z"), "lies in the future"),
        (("--everyone", "--since", "yesterday"), "is no moment"),
        (("--everyone", "--since", "2026-01-01T00:00:00"), "has no time zone"),
        (("--user", "nobody"), "Nobody has that e-mail address"),
        (("--client", "nobody"), "No application has that client_id"),
    ],
)
def test_asking_for_what_can_not_be_is_one_sentence(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    assert says in shell.refusal("policy", "sign-in-again", *arguments)
