"""When an application's part in a browser session is over: in words, for a check, for a hint and for the sweep.

The stories are in `test_part_lifetimes.py`; here every kind of part stands side by side.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from idp import sessions
from idp.db.models import AuditEvent, Client, EndReason, LogoutEvent, Session, SessionClient
from idp.sessions.part_lifetimes import computed_part_end, has_part_lifetimes, is_part_live
from idp.sessions.policy import ComputedEnd
from tests.support.heart import START, Heart

OFFLINE = "openid offline_access"
INSTANT, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
IDLE, EXPIRED = EndReason.PARTICIPATION_IDLE, EndReason.PARTICIPATION_EXPIRED
UNHINTED = START + 400 * DAY
# An application's two lifetimes, the latest use of its part after the beginning, and when that part is over and why.
PARTS: dict[str, tuple[timedelta | None, timedelta | None, timedelta, ComputedEnd | None]] = {
    "unlimited": (None, None, HOUR, None),
    "idle, unused": (2 * HOUR, None, timedelta(), ComputedEnd(START + 2 * HOUR, IDLE)),
    "idle, used": (2 * HOUR, None, HOUR, ComputedEnd(START + 3 * HOUR, IDLE)),
    "absolute, used": (None, 4 * HOUR, 3 * HOUR, ComputedEnd(START + 4 * HOUR, EXPIRED)),
    "both, used": (2 * HOUR, 7 * HOUR, 3 * HOUR, ComputedEnd(START + 5 * HOUR, IDLE)),
    "both, busy": (2 * HOUR, 7 * HOUR, 6 * HOUR, ComputedEnd(START + 7 * HOUR, EXPIRED)),
    "use from before it began": (2 * HOUR, None, -HOUR, ComputedEnd(START + 2 * HOUR, IDLE)),
}
ENDS = {name: end for name, (_, _, _, end) in PARTS.items()}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_ends_by_its_clients_own_lifetimes_and_its_latest_use(name: str) -> None:
    idle, absolute, used, end = PARTS[name]
    client = Client(participation_idle_lifetime=idle, participation_absolute_lifetime=absolute)

    assert computed_part_end(client, started_at=START, used_at=START + used) == end
    assert has_part_lifetimes(client) == (end is not None)


def test_a_part_that_was_never_used_counts_from_its_beginning() -> None:
    client = Client(participation_idle_lifetime=HOUR, participation_absolute_lifetime=None)

    assert computed_part_end(client, started_at=START, used_at=None) == ComputedEnd(START + HOUR, IDLE)


def parts_of(heart: Heart, *, kind: str = "openid") -> dict[str, SessionClient]:
    """A part per line of `PARTS`, by its name: all in one browser, or each the app session of its application."""
    browser = heart.sign_in(heart.person(), keep_signed_in=True)
    made = {}
    for name, (idle, absolute, used, _) in PARTS.items():
        client = heart.client(name=name)
        heart.change(client, participation_idle_lifetime=idle, participation_absolute_lifetime=absolute)
        issued = heart.tokens_for(browser, client, kind)
        heart.change(heart.family(issued), last_used_at=START + used)
        [made[name]] = heart.all(SessionClient, SessionClient.client_id == client.id)
    return made


def live_at(heart: Heart, moment: datetime) -> set[str]:
    with heart.database.reading() as tx:
        return set(
            tx.scalars(
                select(Client.name)
                .join(SessionClient, SessionClient.client_id == Client.id)
                .join(Session, Session.id == SessionClient.session_id)
                .where(is_part_live(moment))
            )
        )


def hints(heart: Heart) -> dict[str, datetime | None]:
    """Of parts that have not ended, by the names of their applications."""
    names = {client.id: client.name for client in heart.all(Client)}
    return {names[part.client_id]: part.sweep_at for part in heart.all(SessionClient, SessionClient.ended_at.is_(None))}


def tightened(heart: Heart, **paging: Any) -> str | None:
    with heart.database.transaction() as tx:
        return sessions.tighten_part_hints(tx, **paging)


def swept(heart: Heart, **given: Any) -> int:
    with heart.database.transaction() as tx:
        return sessions.sweep_parts(tx, now=heart.now, settings=heart.settings, **given)


def test_every_kind_of_part_is_live_to_its_moment_and_hinted_for_it(heart: Heart) -> None:
    for part in parts_of(heart).values():
        heart.change(part, sweep_at=UNHINTED)

    tightened(heart)

    assert hints(heart) == {name: end.at if end else UNHINTED for name, end in ENDS.items()}
    for moment in {end.at for end in ENDS.values() if end}:
        assert live_at(heart, moment - INSTANT) == {name for name, end in ENDS.items() if not end or end.at >= moment}
        assert live_at(heart, moment) == {name for name, end in ENDS.items() if not end or end.at > moment}


def test_the_part_of_an_app_in_its_own_session_is_never_over_before_it(heart: Heart) -> None:
    parts_of(heart, kind=OFFLINE)

    assert tightened(heart) is None
    assert live_at(heart, START + DAY) == set(PARTS)
    assert set(hints(heart).values()) == {None}


def test_a_sweep_ends_what_is_over_and_hints_at_the_end_of_the_rest(heart: Heart) -> None:
    parts = parts_of(heart)
    for part in parts.values():
        heart.change(part, sweep_at=START)
    heart.clock.advance(hours=4)

    assert swept(heart) == len(PARTS)

    over = {name for name, end in ENDS.items() if end and end.at <= heart.now}
    assert hints(heart) == {name: end.at if end else None for name, end in ENDS.items() if name not in over}
    ended = {part.id: (part.ended_at, part.end_reason) for part in heart.all(SessionClient) if part.ended_at}
    assert ended == {parts[name].id: (heart.now, end.reason) for name, end in ENDS.items() if end and name in over}
    assert {event.reason for event in heart.all(LogoutEvent)} == {IDLE, EXPIRED}
    assert {event.actor for event in heart.all(AuditEvent, AuditEvent.kind == "participation_ended")} == {"time"}
    assert swept(heart) == 0


def test_parts_of_several_people_end_apart_and_the_longest_due_first(heart: Heart) -> None:
    client = heart.client()
    heart.change(client, participation_idle_lifetime=HOUR)
    owners, issued = [], []
    for minutes in (2, 0, 1):
        owners.append(heart.person())
        issued.append(heart.tokens_for(heart.sign_in(owners[-1]), client))
        [part] = heart.all(SessionClient, SessionClient.sid == issued[-1].sid)
        heart.change(part, sweep_at=START + timedelta(minutes=minutes))
    heart.clock.advance(hours=2)

    assert swept(heart, limit=2) == 2

    assert {event.user_id for event in heart.all(LogoutEvent)} == {owners[1].id, owners[2].id}
    assert [part.sid for part in heart.all(SessionClient, SessionClient.ended_at.is_(None))] == [issued[0].sid]


def test_nothing_is_looked_at_that_is_not_due_or_over_already(heart: Heart) -> None:
    client = heart.client()
    heart.change(client, participation_idle_lifetime=HOUR)
    person = heart.person()
    gone = heart.sign_in(person)
    heart.tokens_for(gone, client)
    heart.end(person, gone.session_id)
    heart.tokens_for(heart.sign_in(person), client)

    heart.clock.advance(seconds=3599, microseconds=999_999)

    assert swept(heart) == 0
    heart.clock.advance(microseconds=1)
    assert swept(heart) == 1


def test_hints_are_gone_through_in_pages_and_only_forward(heart: Heart) -> None:
    client, person = heart.client(), heart.person()
    for _ in range(4):
        heart.tokens_for(heart.sign_in(person), client)
    early, *late = sorted(heart.all(SessionClient), key=lambda part: part.id)
    heart.change(early, sweep_at=START)
    heart.change(late[0], sweep_at=UNHINTED)
    assert tightened(heart) is None, "nobody has such lifetimes"
    heart.change(client, participation_absolute_lifetime=HOUR)

    first = tightened(heart, limit=2)

    assert first == late[1].id
    moments = {part.id: part.sweep_at for part in heart.all(SessionClient)}
    assert [moments[part.id] for part in (early, *late)] == [START, START + HOUR, START + HOUR, None]
    assert tightened(heart, after=first, limit=2) == late[2].id
    assert tightened(heart, after=late[2].id, limit=2) is None
    assert {part.sweep_at for part in heart.all(SessionClient)} == {START, START + HOUR}


def test_only_the_clients_own_overdue_part_ends_when_it_comes_back(heart: Heart) -> None:
    client, other = heart.client(), heart.client()
    for one in (client, other):
        heart.change(one, participation_idle_lifetime=HOUR)
    person = heart.person()
    here, there = heart.sign_in(person, keep_signed_in=True), heart.sign_in(person, keep_signed_in=True)
    before, *others = (heart.tokens_for(*pair) for pair in ((here, client), (here, other), (there, client)))
    heart.clock.advance(hours=1)

    heart.tokens_for(here, client)

    ended = heart.all(SessionClient, SessionClient.ended_at.is_not(None))
    assert [(part.sid, part.ended_at, part.end_reason) for part in ended] == [(before.sid, heart.now, IDLE)]
    assert {one.sid for one in others} < {
        part.sid for part in heart.all(SessionClient, SessionClient.ended_at.is_(None))
    }
    [event] = heart.all(AuditEvent, AuditEvent.kind == "participation_ended")
    assert (event.actor, event.user_id, event.client_id) == ("time", person.id, client.id)


def test_a_part_in_use_goes_on_when_its_client_comes_back_however_long_ago_it_began(heart: Heart) -> None:
    client = heart.client()
    heart.change(client, participation_idle_lifetime=HOUR)
    browser = heart.sign_in(heart.person(), keep_signed_in=True)
    first = heart.tokens_for(browser, client)
    heart.clock.advance(minutes=40)
    heart.refresh(first, client)
    heart.clock.advance(minutes=40)

    assert heart.tokens_for(browser, client).sid == first.sid
    assert heart.all(LogoutEvent) == []
