"""Only so many copies of one app per person: with one more, the one unused longest goes out, visibly."""

from datetime import timedelta
from typing import Any

import pytest

from idp import sessions
from idp.db.models import AuditEvent, EndReason, LogoutDelivery, LogoutEvent, MailMessage, Session, SessionKind, User
from tests.support.heart import Heart, race

OFFLINE = "openid offline_access"


@pytest.fixture
def capped(heart: Heart) -> Heart:
    heart.with_settings(app_sessions_per_client=2, smtp_host="mail.example", mail_from="idp@example.com")
    return heart


def sign_in_tool(heart: Heart, person: User, client: Any) -> Any:
    heart.clock.advance(minutes=1)
    return heart.tokens_for(heart.sign_in(person), client, OFFLINE)


def live_tools(heart: Heart) -> set[str]:
    return {row.id for row in heart.all(Session, Session.kind == SessionKind.APP, Session.ended_at.is_(None))}


def test_with_one_more_the_oldest_goes_out_and_says_why(capped: Heart) -> None:
    person, client = capped.person(), capped.client(name="Tool", backchannel_logout_uri="https://app.example/out")
    first, second, third = (sign_in_tool(capped, person, client) for _ in range(3))

    assert live_tools(capped) == {second.session_id, third.session_id}
    assert capped.session(first.session_id).end_reason == EndReason.SESSION_CAP
    assert getattr(capped.refresh(first, client), "error", None) == "invalid_grant"
    assert getattr(capped.refresh(third, client), "error", None) is None
    (delivery,) = capped.all(LogoutDelivery)
    assert delivery.session_id == first.session_id
    (row,) = capped.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert (row.session_id, row.details["reason"]) == (first.session_id, EndReason.SESSION_CAP)
    (message,) = capped.all(MailMessage)
    assert (message.kind, message.subject) == ("too_many_copies", "An older sign-in of Tool was ended")
    assert "The one of its sign-ins that was not used for the longest time was ended" in " ".join(message.body.split())


def test_a_copy_in_use_stays_and_the_one_unused_longest_goes(capped: Heart) -> None:
    person, client = capped.person(), capped.client()
    first, second = (sign_in_tool(capped, person, client) for _ in range(2))
    capped.clock.advance(minutes=10)
    capped.refresh(first, client)

    third = sign_in_tool(capped, person, client)

    assert live_tools(capped) == {first.session_id, third.session_id}
    assert capped.session(second.session_id).end_reason == EndReason.SESSION_CAP


def test_other_apps_other_people_and_browsers_do_not_count(capped: Heart) -> None:
    person, other, client = capped.person(), capped.person(), capped.client()
    for who, what in ((person, capped.client()), (person, client), (other, client), (other, client), (person, client)):
        sign_in_tool(capped, who, what)

    assert len(live_tools(capped)) == 5
    assert capped.all(Session, Session.end_reason == EndReason.SESSION_CAP) == []


def test_an_app_may_have_a_cap_of_its_own(capped: Heart) -> None:
    person, client = capped.person(), capped.client()
    capped.change(client, app_sessions_per_client=1)

    sign_in_tool(capped, person, client)
    last = sign_in_tool(capped, person, client)

    assert live_tools(capped) == {last.session_id}


def test_the_latest_use_of_any_token_counts_and_of_two_alike_the_older_one_goes(capped: Heart) -> None:
    capped.with_settings(app_sessions_per_client=3)
    person, client = capped.person(), capped.client()
    browser = capped.sign_in(person)
    twins = sorted(capped.tokens_for(browser, client, OFFLINE).session_id or "" for _ in range(2))
    used = sign_in_tool(capped, person, client)
    capped.change(capped.session(used.session_id), last_active_at=capped.now - timedelta(days=2))
    capped.change(capped.family(used), last_used_at=capped.now + timedelta(hours=1))

    sign_in_tool(capped, person, client)
    assert live_tools(capped) & {*twins, used.session_id} == {twins[1], used.session_id}

    capped.change(capped.family(used), last_used_at=capped.now - timedelta(days=1))
    sign_in_tool(capped, person, client)
    assert live_tools(capped) & {*twins, used.session_id} == {twins[1]}


def test_copies_that_are_over_by_their_apps_own_lifetime_take_no_place(capped: Heart) -> None:
    person, client = capped.person(), capped.client(app_idle_lifetime=timedelta(hours=1))
    expired = sign_in_tool(capped, person, client)
    capped.clock.advance(hours=1)

    live = [sign_in_tool(capped, person, client) for _ in range(2)]

    assert live_tools(capped) == {one.session_id for one in (expired, *live)}
    assert capped.all(Session, Session.end_reason == EndReason.SESSION_CAP) == []


def test_how_many_there_may_be_can_be_decided_at_run_time_and_time_is_said_to_have_ended_the_rest(
    capped: Heart,
) -> None:
    person, client = capped.person(), capped.client()
    first = sign_in_tool(capped, person, client)
    capped.decide("app_sessions_per_client", "1")

    second = sign_in_tool(capped, person, client)

    assert live_tools(capped) == {second.session_id}
    [row] = capped.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert (row.actor, row.client_id, row.session_id) == ("time", client.id, first.session_id)
    [event] = capped.all(LogoutEvent)
    assert (event.user_id, event.apps_ended, event.initiating_client_id) == (person.id, 1, client.id)
    [message] = capped.all(MailMessage)
    assert (message.user_id, message.created_at) == (person.id, capped.now)


@pytest.mark.parametrize("where", ["installation", "client"])
def test_zero_means_any_number(capped: Heart, where: str) -> None:
    person, client = capped.person(), capped.client()
    if where == "client":
        capped.change(client, app_sessions_per_client=0)
    else:
        capped.with_settings(app_sessions_per_client=0)

    for _ in range(4):
        sign_in_tool(capped, person, client)

    assert len(live_tools(capped)) == 4


def test_a_cap_that_was_lowered_takes_out_all_that_are_too_many_at_once(capped: Heart) -> None:
    capped.with_settings(app_sessions_per_client=5)
    person, client = capped.person(), capped.client()
    made = [sign_in_tool(capped, person, client) for _ in range(5)]
    capped.with_settings(app_sessions_per_client=2)

    last = sign_in_tool(capped, person, client)

    assert live_tools(capped) == {made[-1].session_id, last.session_id}
    (message,) = capped.all(MailMessage)
    assert "The 4 of its sign-ins that were not used for the longest time were ended" in " ".join(message.body.split())


def test_a_refused_redemption_costs_no_copy_its_access(capped: Heart) -> None:
    person, client = capped.person(), capped.client()
    made = [sign_in_tool(capped, person, client) for _ in range(2)]
    browser = capped.sign_in(person)
    code = capped.code(browser, client, OFFLINE)
    capped.end(person, browser.session_id)

    assert getattr(capped.redeem(code, client), "error", None) == "invalid_grant"

    assert live_tools(capped) == {one.session_id for one in made}


def test_redemptions_at_once_leave_exactly_so_many_and_never_meet_an_end_in_a_deadlock(capped: Heart) -> None:
    person, client = capped.person(), capped.client()
    made = [sign_in_tool(capped, person, client) for _ in range(2)]
    capped.clock.advance(minutes=1)  # so that they are the ones to go: what the end finds last is theirs, or nothing
    codes = [capped.code(capped.sign_in(person), client, OFFLINE) for _ in range(4)]
    nodes = [capped.open_database() for _ in range(5)]

    def end() -> Any:
        with nodes[4].transaction() as tx:
            return sessions.end_sessions(
                tx,
                user_id=person.id,
                session_ids=[one.session_id for one in made],
                reason=EndReason.ENDED_BY_PERSON,
                actor=sessions.Actor(),
                settings=capped.settings,
                now=capped.now,
            )

    jobs: list[Any] = [lambda number=number: capped.redeem(codes[number], client, nodes[number]) for number in range(4)]
    race([*jobs, end])

    assert len(live_tools(capped)) == 2
