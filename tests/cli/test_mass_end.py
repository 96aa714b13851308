"""`idp sessions end --everybody | --client`: in batches, asked for first, safe to stop and to repeat."""

from datetime import timedelta
from typing import Any

import pytest

from idp.cli import mass_end
from idp.cli.context import OPERATOR
from idp.db.models import EndReason, LogoutDelivery, Session, SessionClient, User
from idp.sessions import StartedSession, end_next_people
from idp.tokens import Issued, Refused
from tests.cli.shell import Shell
from tests.support.heart import Heart

OFFLINE = "openid offline_access"


def crowd(heart: Heart, people: int = 5) -> tuple[Any, Any, list[StartedSession]]:
    """People who are signed in in a browser, at two applications, and in a tool of the first one."""
    wiki = heart.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
    mail = heart.client(name="Mail", backchannel_logout_uri="https://mail.example/bye")
    started = [heart.sign_in(heart.person()) for _ in range(people)]
    for session in started:
        heart.tokens_for(session, mail)
        heart.tokens_for(session, wiki)
        heart.tokens_for(session, wiki, OFFLINE)
    return wiki, mail, started


def live(heart: Heart, model: Any) -> list[Any]:
    return heart.all(model, model.ended_at.is_(None))


def test_everybody_is_signed_out_in_batches_and_every_application_is_told(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_end, "BATCH", 2)
    wiki, _, started = crowd(today)
    half_way = today.code(started[0], wiki)
    today.person()  # signed in nowhere

    done = shell.json("sessions", "end", "--everybody", "--yes")

    counts = {"people": 5, "browsers": 5, "apps": 5, "applications_parts": 15, "applications_to_tell": 15}
    assert {name: done[name] for name in counts} == counts
    assert live(today, Session) == live(today, SessionClient) == []
    assert {row.end_reason for row in today.all(Session)} == {EndReason.ENDED_BY_ADMINISTRATOR}
    assert len(today.all(LogoutDelivery)) == 15
    assert isinstance(today.redeem(half_way, wiki), Refused)
    assert shell.json("sessions", "end", "--everybody", "--yes")["people"] == 0


def test_everybody_leaves_one_application_and_stays_signed_in_otherwise(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_end, "BATCH", 2)
    wiki, mail, started = crowd(today)

    result = shell.run("sessions", "end", "--client", wiki.id, "--yes")

    assert result.exit_code == 0, result.output
    assert "Ended for 5 people: 10 sign-ins to Wiki." in result.output
    assert {row.client_id for row in live(today, SessionClient)} == {mail.id}
    assert all(today.current(session.handle) for session in started)
    assert {row.client_id for row in today.all(LogoutDelivery)} == {wiki.id}
    assert isinstance(today.redeem(today.code(started[0], wiki), wiki), Issued), "the application stays open"


def test_it_asks_first_and_no_leaves_everything_as_it_was(shell: Shell, today: Heart) -> None:
    crowd(today, people=2)

    for answer in ("n\n", ""):
        result = shell.run("sessions", "end", "--everybody", given=answer)
        assert result.exit_code == 1
        assert "Sign out 2 people everywhere" in result.output
    assert len(live(today, Session)) == 4

    assert shell.run("sessions", "end", "--everybody", given="y\n").exit_code == 0
    assert live(today, Session) == []


def test_a_stopped_one_says_how_to_go_on_and_spares_who_signed_in_again(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_end, "BATCH", 1)
    crowd(today, people=3)
    calls = []

    def interrupted(tx: Any, **given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return end_next_people(tx, **given)

    monkeypatch.setattr(mass_end, "end_next_people", interrupted)
    stopped = shell.run("sessions", "end", "--everybody", "--yes")
    sentence = stopped.stderr
    assert stopped.exit_code == 1
    assert "Interrupted after 1 person" in sentence
    moment = sentence.split("--begun-before ")[1].removesuffix(".\n")
    monkeypatch.undo()

    today.clock.advance(minutes=5)
    (came_back,) = {row.user_id for row in today.all(Session, Session.ended_at.is_not(None))}
    again = today.sign_in(today.all(User, User.id == came_back)[0])
    shell.json("sessions", "end", "--everybody", "--yes", "--begun-before", moment)

    assert [row.id for row in live(today, Session)] == [again.session_id]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say whose"),
        (["--everybody", "--user", "ada@example.com"], "Say whose"),
        (["--everybody", "--client", "x"], "Say whose"),
        (["--everybody", "--all"], "go with --user"),
        (["--client", "nobody", "--yes"], "No application has that client_id"),
        (["--client", "x", "--begun-before", "2026-11-21T03:00:00Z"], "goes with --everybody"),
        (["--everybody", "--begun-before", "yesterday"], "is no moment"),
        (["--everybody", "--yes", "--begun-before", "2999-01-01T00:00:00Z"], "lies in the future"),
        (["--everybody", "--json"], "add --yes"),
    ],
)
def test_an_unclear_wish_is_refused_and_nobody_is_signed_out(
    shell: Shell, today: Heart, arguments: list[str], sentence: str
) -> None:
    crowd(today, people=1)

    assert sentence in shell.refusal("sessions", "end", *arguments)

    assert len(live(today, Session)) == 2


def test_the_next_people_come_in_order_and_end(heart: Heart) -> None:
    crowd(heart, people=3)
    after: str | None = ""
    seen = []
    while after is not None:
        with heart.database.transaction() as tx:
            batch = end_next_people(
                tx,
                client_id=None,
                before=heart.now + timedelta(seconds=1),
                after=after,
                reason=EndReason.ENDED_BY_ADMINISTRATOR,
                actor=OPERATOR,
                settings=heart.settings,
                now=heart.now,
                limit=2,
            )
        after = batch.last
        seen.append(batch.people)

    assert seen == [2, 1, 0]
