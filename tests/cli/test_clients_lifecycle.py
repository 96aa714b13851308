"""`idp clients disable | enable | delete`: what an application holds is ended, it is told, others are left alone."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from idp.cli import client_lifecycle
from idp.db.models import (
    AuthorizationCode,
    Client,
    ClientSecret,
    EndReason,
    LogoutDelivery,
    SessionClient,
)
from idp.sessions import end_client_everywhere
from idp.tokens import Issued, Refused
from tests.cli.registrations import accepts, created
from tests.cli.shell import Shell
from tests.support.heart import Heart, race


@pytest.mark.parametrize(
    ("command", "reason"), [("disable", EndReason.CLIENT_DISABLED), ("delete", EndReason.CLIENT_DELETED)]
)
def test_closing_an_application_ends_what_it_holds_tells_it_and_leaves_others_alone(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch, command: str, reason: EndReason
) -> None:
    monkeypatch.setattr(client_lifecycle, "_BATCH", 2)
    wiki = today.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
    mail = today.client(name="Mail", backchannel_logout_uri="https://mail.example/bye")
    people = [today.person() for _ in range(5)]
    started = [today.sign_in(person) for person in people]
    of_wiki = [today.tokens_for(session, wiki) for session in started]
    of_mail = [today.tokens_for(session, mail) for session in started]
    apps = [today.tokens_for(session, wiki, "openid offline_access") for session in started[:2]]

    done = shell.json("clients", command, wiki.id)

    assert done == {"client_id": wiki.id, "changed": True, "people": 5}
    assert all(isinstance(today.refresh(tokens, wiki), Refused) for tokens in [*of_wiki, *apps])
    assert all(isinstance(today.refresh(tokens, mail), Issued) for tokens in of_mail)
    assert all(today.current(session.handle) for session in started)
    live = today.all(SessionClient, SessionClient.ended_at.is_(None))
    assert {row.client_id for row in live} == {mail.id}
    assert {row.end_reason for row in today.all(SessionClient, SessionClient.client_id == wiki.id)} == {reason}
    told = today.all(LogoutDelivery)
    assert {(row.client_id, row.uri) for row in told} == {(wiki.id, "https://wiki.example/bye")}
    assert len(told) == 7


def test_an_end_that_was_interrupted_goes_on_when_the_command_is_repeated(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiki = today.client(name="Wiki")
    tokens = [today.tokens_for(today.sign_in(today.person()), wiki) for _ in range(3)]
    original = end_client_everywhere
    calls = []

    def interrupted(tx, **given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(tx, **{**given, "limit": 1})

    monkeypatch.setattr(client_lifecycle, "end_client_everywhere", interrupted)
    assert shell.run("clients", "delete", wiki.id).exit_code == 1
    # Dead at once on every node, whatever is still to be written down.
    assert all(isinstance(today.refresh(one, wiki), Refused) for one in tokens)
    assert len(today.all(SessionClient, SessionClient.ended_at.is_(None))) == 2

    monkeypatch.setattr(client_lifecycle, "end_client_everywhere", original)
    assert shell.json("clients", "delete", wiki.id)["people"] == 2

    assert today.all(SessionClient, SessionClient.ended_at.is_(None)) == []
    assert today.all(Client)[0].deleted_at is not None


def test_an_enabled_application_starts_afresh(shell: Shell, today: Heart) -> None:
    made = created(shell)
    shell.json("clients", "disable", made["client_id"])
    assert not accepts(today, made["client_id"], made["client_secret"])
    assert "was disabled already" in shell.run("clients", "disable", made["client_id"]).output

    assert shell.json("clients", "enable", made["client_id"])["changed"] is True

    assert accepts(today, made["client_id"], made["client_secret"])
    assert shell.json("clients", "enable", made["client_id"])["changed"] is False


def test_what_is_left_of_a_disabled_application_is_ended_before_it_is_admitted_again(
    shell: Shell, today: Heart
) -> None:
    """I1: whoever disabled it was interrupted before everything was ended."""
    wiki = today.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
    session = today.sign_in(today.person())
    tokens = today.tokens_for(session, wiki)
    half_way = today.code(today.sign_in(today.person()), wiki)
    today.change(wiki, disabled_at=today.now)

    enabled = shell.json("clients", "enable", wiki.id)

    assert enabled == {"client_id": wiki.id, "changed": True, "people": 2}
    assert isinstance(today.refresh(tokens, wiki), Refused)
    assert isinstance(today.redeem(half_way, wiki), Refused)
    assert [row.end_reason for row in today.all(SessionClient)] == [EndReason.CLIENT_DISABLED]
    assert len(today.all(LogoutDelivery)) == 1
    assert today.current(session.handle)


def test_a_code_from_before_an_application_was_disabled_is_worth_nothing_after_whatever_the_clocks_say(
    shell: Shell, today: Heart
) -> None:
    """The command takes the code for expired, and passes it over; the clock of the node that redeems it is behind."""
    wiki = today.client(name="Wiki")
    today.clock.advance(minutes=-10)
    session = today.sign_in(today.person())
    code = today.code(session, wiki)
    shell.json("clients", "disable", wiki.id)
    shell.json("clients", "enable", wiki.id)

    refused = today.redeem(code, wiki)

    assert isinstance(refused, Refused)
    assert refused.detail == "the client was disabled since"
    assert isinstance(today.redeem(today.code(session, wiki), wiki), Issued)


def test_a_code_of_a_version_that_knew_of_no_epoch_is_still_good(shell: Shell, today: Heart) -> None:
    wiki = today.client(name="Wiki")
    shell.json("clients", "disable", wiki.id)
    shell.json("clients", "enable", wiki.id)
    code = today.code(today.sign_in(today.person()), wiki)
    with today.database.transaction() as tx:
        tx.execute(update(AuthorizationCode).values(client_epoch=None))

    assert isinstance(today.redeem(code, wiki), Issued)


def test_a_disabled_application_gets_no_code_though_its_request_began_before(today: Heart) -> None:
    wiki, session = today.client(name="Wiki"), today.sign_in(today.person())
    today.code(session, wiki)
    today.change(wiki, disabled_at=today.now)

    with pytest.raises(AssertionError, match="overtaken"):
        today.code(session, wiki)


def test_enabling_an_enabled_application_ends_nothing(shell: Shell, today: Heart) -> None:
    wiki = today.client(name="Wiki")
    tokens = today.tokens_for(today.sign_in(today.person()), wiki)

    assert shell.json("clients", "enable", wiki.id) == {"client_id": wiki.id, "changed": False, "people": 0}

    assert isinstance(today.refresh(tokens, wiki), Issued)


def test_codes_redeemed_while_an_application_is_disabled_and_admitted_again_are_all_refused_or_all_ended(
    shell: Shell, today: Heart
) -> None:
    """The race itself: whichever comes first, nothing that was issued before the disabling is good after it."""
    wiki = today.client(name="Wiki")
    codes = [today.code(today.sign_in(today.person()), wiki) for _ in range(12)]
    nodes = [today.open_database() for _ in range(4)]

    def redeem(number: int) -> list[Any]:
        return [today.redeem(code, wiki, database=nodes[number]) for code in codes[number::4]]

    def disable_and_enable() -> None:
        shell.json("clients", "disable", wiki.id)
        shell.json("clients", "enable", wiki.id)

    answers = race([*(partial(redeem, number) for number in range(4)), disable_and_enable])

    issued = [answer for group in answers[:4] for answer in group if isinstance(answer, Issued)]
    assert all(isinstance(today.refresh(tokens, wiki), Refused) for tokens in issued)
    assert all(isinstance(today.redeem(code, wiki), Refused) for code in codes)
    assert today.all(SessionClient, SessionClient.ended_at.is_(None)) == []
    assert today.all(Client)[0].disabled_at is None


def test_a_deleted_application_is_gone_for_every_command(shell: Shell, today: Heart) -> None:
    made = created(shell)

    assert "Wiki (" in shell.run("clients", "delete", made["client_id"]).output

    assert shell.json("clients", "list") == []
    assert today.all(ClientSecret) == []
    for command in (["delete"], ["disable"], ["enable"], ["rotate-secret"], ["update", "--name", "X"]):
        assert "No application has that client_id" in shell.refusal("clients", *command, made["client_id"])
