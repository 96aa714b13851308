"""`idp deliveries`: what became of notices, and what an operator does about them."""

from datetime import timedelta
from typing import Any

import pytest

from idp.db.models import AuditEvent, Client, DeliveryState, LogoutDelivery
from tests.cli.shell import Shell
from tests.support.heart import Heart

ADDRESS = "https://app.example/logout"


def notice(heart: Heart, client: Client, state: DeliveryState, **changes: Any) -> str:
    """A notice in this state, written a while ago."""
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    [row] = heart.all(LogoutDelivery, LogoutDelivery.session_id == session.session_id)
    is_settled = state is not DeliveryState.PENDING
    heart.change(
        row,
        **{
            "state": state,
            "settled_at": heart.now - timedelta(minutes=5) if is_settled else None,
            "attempts": 4,
            "last_attempt_at": heart.now - timedelta(minutes=5),
            **changes,
        },
    )
    identifier: str = row.id
    return identifier


def state_of(heart: Heart, delivery_id: str) -> LogoutDelivery:
    found: LogoutDelivery = heart.all(LogoutDelivery, LogoutDelivery.id == delivery_id)[0]
    return found


def test_what_waits_and_what_died_is_listed_and_of_one_application_everything(shell: Shell, today: Heart) -> None:
    wiki = today.client(name="Wiki", backchannel_logout_uri=ADDRESS)
    dead = notice(today, wiki, DeliveryState.REFUSED, last_status=404, last_failure="answered 404")
    waiting = notice(today, wiki, DeliveryState.PENDING)
    told = notice(today, wiki, DeliveryState.TOLD, last_status=200)

    rows = shell.json("deliveries", "list")
    of_wiki = shell.json("deliveries", "list", "--client", wiki.id)
    only_told = shell.json("deliveries", "list", "--client", wiki.id, "--state", "told")

    assert [row["delivery"] for row in rows] == [waiting, dead]
    assert (rows[1]["state"], rows[1]["status"], rows[1]["failure"]) == ("refused", 404, "answered 404")
    assert {row["delivery"] for row in of_wiki} == {dead, waiting, told}
    assert [row["delivery"] for row in only_told] == [told]
    assert "--client" in shell.refusal("deliveries", "list", "--state", "told")
    assert "answered 404" in shell.run("deliveries", "list").stdout


def test_one_notice_is_shown_with_everything_but_what_was_answered(shell: Shell, today: Heart) -> None:
    dead = notice(today, today.client(backchannel_logout_uri=ADDRESS), DeliveryState.GAVE_UP)

    shown = shell.json("deliveries", "show", dead)

    assert (shown["delivery"], shown["address"], shown["attempts"]) == (dead, ADDRESS, 4)
    assert "body" not in shown
    for unknown in ("x", "é", dead[:-1] + ("1" if dead[-1] == "0" else "0"), "\x00"):
        assert "idp deliveries list" in shell.refusal("deliveries", "show", unknown)


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.GAVE_UP, DeliveryState.TOLD])
def test_a_settled_notice_goes_out_again_by_its_identifier_and_for_a_whole_day(
    shell: Shell, today: Heart, state: DeliveryState
) -> None:
    settled = notice(today, today.client(backchannel_logout_uri=ADDRESS), state)

    assert shell.json("deliveries", "redeliver", settled) == {"changed": [settled], "left_alone": []}

    row = state_of(today, settled)
    assert (row.state, row.attempts, row.refusals, row.settled_at) == (DeliveryState.PENDING, 0, 0, None)
    assert abs(row.created_at - today.now) < timedelta(minutes=5)
    [event] = today.all(AuditEvent, AuditEvent.kind == "notices_redelivered")
    assert (event.actor, event.details) == ("administrator:cli", {"deliveries": [settled], "count": 1})


def test_a_waiting_notice_is_not_redelivered_and_an_unknown_one_changes_nothing(shell: Shell, today: Heart) -> None:
    client = today.client(backchannel_logout_uri=ADDRESS)
    waiting, dead = notice(today, client, DeliveryState.PENDING), notice(today, client, DeliveryState.REFUSED)

    assert "left alone" in shell.refusal("deliveries", "redeliver", waiting)
    assert "nothing was changed" in shell.refusal("deliveries", "redeliver", dead, "0" * 26)

    assert state_of(today, dead).state is DeliveryState.REFUSED
    assert today.all(AuditEvent, AuditEvent.kind == "notices_redelivered") == []


def test_all_dead_notices_of_one_application_go_out_again_and_no_others(shell: Shell, today: Heart) -> None:
    client = today.client(backchannel_logout_uri=ADDRESS)
    refused, given_up = (notice(today, client, state) for state in (DeliveryState.REFUSED, DeliveryState.GAVE_UP))
    told = notice(today, client, DeliveryState.TOLD)
    of_another = notice(today, today.client(backchannel_logout_uri=ADDRESS), DeliveryState.REFUSED)

    done = shell.json("deliveries", "redeliver", "--client", client.id, "--dead")

    assert sorted(done["changed"]) == sorted([refused, given_up])
    assert state_of(today, told).state is DeliveryState.TOLD
    assert state_of(today, of_another).state is DeliveryState.REFUSED


def test_what_could_not_be_told_goes_to_the_address_that_is_registered_today(shell: Shell, today: Heart) -> None:
    client = today.client()
    untold = notice(today, client, DeliveryState.CANNOT_BE_TOLD)
    assert "--current-address" in shell.refusal("deliveries", "redeliver", untold)
    today.change(client, backchannel_logout_uri="https://new.example/logout")

    shell.json("deliveries", "redeliver", untold, "--current-address")

    assert (state_of(today, untold).uri, state_of(today, untold).host) == ("https://new.example/logout", "new.example")


def test_a_sentence_says_what_needs_a_worker_and_what_does_not(shell: Shell, today: Heart) -> None:
    waiting = notice(today, today.client(backchannel_logout_uri=ADDRESS), DeliveryState.PENDING)

    assert shell.run("deliveries", "give-up", waiting).stdout == "1 notice is given up.\n"
    assert shell.run("deliveries", "redeliver", waiting).stdout == "1 notice goes out again, if a worker runs.\n"


def test_waiting_notices_are_given_up_visibly_and_settled_ones_are_left_alone(shell: Shell, today: Heart) -> None:
    client = today.client(backchannel_logout_uri=ADDRESS)
    waiting, told = notice(today, client, DeliveryState.PENDING), notice(today, client, DeliveryState.TOLD)

    assert shell.json("deliveries", "give-up", "--client", client.id)["changed"] == [waiting]
    assert "It does not wait" in shell.refusal("deliveries", "give-up", told)

    row = state_of(today, waiting)
    assert (row.state, row.last_failure) == (DeliveryState.GAVE_UP, "given up by an operator")
    assert row.settled_at is not None
    assert len(today.all(AuditEvent, AuditEvent.kind == "notices_given_up")) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("redeliver",),
        ("redeliver", "--dead"),
        ("redeliver", "--client", "c"),
        ("redeliver", "x", "--client", "c", "--dead"),
        ("give-up",),
        ("give-up", "x", "--client", "c"),
        ("give-up", "--client", "no such application"),
        ("redeliver", "--client", "no such application", "--dead"),
        ("list", "--client", "no such application"),
        ("list", "--limit", "0"),
    ],
)
def test_a_command_that_does_not_say_what_is_meant_is_refused(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.refusal("deliveries", *arguments)
