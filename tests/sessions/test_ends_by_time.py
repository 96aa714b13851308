"""When a session is over by time alone: checks, words, the sweep and its hints mean the same moment for every kind."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from idp import sessions
from idp.db.models import AuditEvent, Client, EndReason, LogoutEvent, Session
from idp.policy import ask_for_sign_in
from idp.sessions import SessionPolicy, sweep
from idp.sessions.policy import ComputedEnd, computed_end, is_live
from idp.tokens import Issued
from tests.support.heart import START, Heart

OFFLINE = "openid offline_access"
INSTANT, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
LIFETIMES = {
    "browser_idle_lifetime": "8h",
    "keep_signed_in_idle_lifetime": "5d",
    "browser_absolute_lifetime": "20d",
    "app_idle_lifetime": "10d",
    "app_absolute_lifetime": "40d",
}
IDLE, EXPIRED, AGAIN = EndReason.IDLE, EndReason.EXPIRED, EndReason.SIGN_IN_AGAIN
# What ends when, of what was used last when; all began at the same moment.
ENDS = {
    "browser, unused": (timedelta(), ComputedEnd(START + 8 * HOUR, IDLE)),
    "browser, busy": (20 * DAY - HOUR, ComputedEnd(START + 20 * DAY, EXPIRED)),
    "browser, busy to the last": (20 * DAY - 8 * HOUR, ComputedEnd(START + 20 * DAY, EXPIRED)),
    "kept, unused": (timedelta(), ComputedEnd(START + 5 * DAY, IDLE)),
    "kept, busy": (18 * DAY, ComputedEnd(START + 20 * DAY, EXPIRED)),
    "app, unused": (timedelta(), ComputedEnd(START + 10 * DAY, IDLE)),
    "app, busy": (35 * DAY, ComputedEnd(START + 40 * DAY, EXPIRED)),
    "own idle, unused": (timedelta(), ComputedEnd(START + 2 * DAY, IDLE)),
    "own idle, busy": (39 * DAY, ComputedEnd(START + 40 * DAY, EXPIRED)),
    "own absolute, unused": (timedelta(), ComputedEnd(START + 10 * DAY, IDLE)),
    "own absolute, busy": (9 * DAY, ComputedEnd(START + 12 * DAY, EXPIRED)),
}
OWN = {
    "own idle": {"app_idle_lifetime": 2 * DAY},
    "own absolute": {"app_absolute_lifetime": 12 * DAY},
}


def one_of_each(heart: Heart) -> dict[str, str]:
    """A session per line of `ENDS`, by its name; all of one person."""
    person = heart.person()
    approving = heart.sign_in(person)
    made = {}
    clients = {kind: heart.client(**OWN.get(kind, {})) for kind in ("app", *OWN)}
    for name, (used, _) in ENDS.items():
        kind = name.partition(",")[0]
        if kind in clients:
            made[name] = heart.tokens_for(approving, clients[kind], OFFLINE).session_id or ""
        else:
            made[name] = heart.sign_in(person, keep_signed_in=kind == "kept").session_id
        heart.change(heart.session(made[name]), last_active_at=START + used)
    heart.end(person, approving.session_id)
    return made


def live_at(heart: Heart, moment: datetime) -> set[str]:
    with heart.database.reading() as tx:
        live = is_live(moment, heart.policy, client=Client)
        return set(tx.scalars(select(Session.id).outerjoin(Client, Client.id == Session.client_id).where(live)))


def in_words(heart: Heart, *session_ids: str) -> list[ComputedEnd]:
    with heart.database.reading() as tx:
        policy = SessionPolicy.today(tx, heart.settings)
        rows = [tx.get_one(Session, one) for one in session_ids]
        clients = [tx.get(Client, row.client_id) if row.client_id else None for row in rows]
        return [
            computed_end(row, client, last_active_at=row.last_active_at, policy=policy)
            for row, client in zip(rows, clients, strict=True)
        ]


def tightened(heart: Heart, **paging: Any) -> str | None:
    with heart.database.transaction() as tx:
        return sessions.tighten_hints(tx, settings=heart.settings, **paging)


def hints(heart: Heart, *session_ids: str) -> list[datetime]:
    with heart.database.reading() as tx:
        return [tx.get_one(Session, one).sweep_at for one in session_ids]


@pytest.mark.parametrize("is_decided", [False, True], ids=["by the settings", "decided at run time"])
def test_every_kind_of_session_is_over_at_its_moment_and_not_before(heart: Heart, is_decided: bool) -> None:
    made = one_of_each(heart)
    for name, text in LIFETIMES.items():
        number, unit = int(text[:-1]), {"h": HOUR, "d": DAY}[text[-1]]
        if is_decided:
            heart.decide(name, text)
        else:
            heart.with_settings(**{name: number * unit})
    for session_id in made.values():
        heart.change(heart.session(session_id), sweep_at=START + 400 * DAY)

    tightened(heart)

    ends = {name: end for name, (_, end) in ENDS.items()}
    assert dict(zip(made, in_words(heart, *made.values()), strict=True)) == ends
    assert dict(zip(made, hints(heart, *made.values()), strict=True)) == {name: end.at for name, end in ends.items()}
    for moment in {end.at for end in ends.values()}:
        assert live_at(heart, moment - INSTANT) == {made[name] for name, end in ends.items() if end.at >= moment}
        assert live_at(heart, moment) == {made[name] for name, end in ends.items() if end.at > moment}


def test_who_may_not_be_kept_signed_in_any_more_goes_like_everybody_else(heart: Heart) -> None:
    heart.with_settings(browser_idle_lifetime=8 * HOUR, keep_signed_in_idle_lifetime=5 * DAY)
    kept, other = (heart.sign_in(heart.person(), keep_signed_in=keeps).session_id for keeps in (True, False))
    before = hints(heart, kept, other)
    heart.with_settings(keep_signed_in=False)

    assert before == [START + 5 * DAY, START + 8 * HOUR]
    assert in_words(heart, kept, other) == [ComputedEnd(START + 8 * HOUR, IDLE)] * 2
    for _ in range(2):  # before a worker has come by, and afterwards
        assert live_at(heart, START + 8 * HOUR - INSTANT) == {kept, other}
        assert live_at(heart, START + 8 * HOUR) == set()
        tightened(heart)
        assert hints(heart, kept, other) == [START + 8 * HOUR] * 2

    assert not heart.session(kept).keep_signed_in


def test_what_rests_on_an_older_sign_in_is_over_since_the_moment_unless_it_was_over_before(heart: Heart) -> None:
    heart.with_settings(browser_idle_lifetime=3 * HOUR)
    person = heart.person()
    idle = heart.sign_in(person).session_id
    heart.clock.advance(minutes=30)
    at_once = heart.sign_in(person).session_id
    heart.clock.advance(hours=2)
    older = heart.sign_in(person).session_id
    heart.clock.advance(hours=1)
    newer = heart.sign_in(person).session_id
    with heart.database.transaction() as tx:
        assert ask_for_sign_in(tx, since=heart.now, client_id=None, actor="operator", now=heart.now)
    for one in (idle, at_once, older, newer):
        heart.change(heart.session(one), sweep_at=START + 400 * DAY)

    tightened(heart)

    asked = ComputedEnd(heart.now, AGAIN)
    ends = [ComputedEnd(START + 3 * HOUR, IDLE), asked, asked, ComputedEnd(heart.now + 3 * HOUR, IDLE)]
    assert in_words(heart, idle, at_once, older, newer) == ends
    assert hints(heart, idle, at_once, older, newer) == [end.at for end in ends]
    assert live_at(heart, heart.now) == {newer}


def test_a_hint_only_ever_moves_forward_and_ended_sessions_need_none(heart: Heart) -> None:
    person = heart.person()
    early, late, over = (heart.sign_in(person).session_id for _ in range(3))
    heart.end(person, over)
    for one, days in ((early, 0), (late, 90), (over, 90)):
        heart.change(heart.session(one), sweep_at=START + days * DAY)

    tightened(heart)

    assert hints(heart, early, late, over) == [START, START + DAY, START + 90 * DAY]


def test_hints_are_gone_through_in_pages_to_the_last(heart: Heart) -> None:
    made = sorted(heart.sign_in(heart.person()).session_id for _ in range(3))
    for one in made:
        heart.change(heart.session(one), sweep_at=START + 90 * DAY)

    first = tightened(heart, limit=2)

    assert first == made[1]
    assert hints(heart, *made) == [START + DAY, START + DAY, START + 90 * DAY]
    assert tightened(heart, after=first, limit=2) == made[2]
    assert tightened(heart, after=made[2], limit=2) is None
    assert hints(heart, *made) == [START + DAY] * 3


# ── What counts as use, and what the sweep writes down ────────────────────────────────────────────────────────────────


def used(heart: Heart, issued: Issued, moment: datetime, **changes: Any) -> None:
    heart.change(heart.family(issued), last_used_at=moment, **changes)


def test_a_refresh_is_use_of_its_own_session_where_the_client_says_so_and_of_an_app_always(heart: Heart) -> None:
    heart.with_settings(browser_idle_lifetime=HOUR, app_idle_lifetime=HOUR)
    person, counting, silent = heart.person(), heart.client(), heart.client(refresh_extends_session=False)
    used_by, unused_by, with_revoked, twice, untouched = (heart.sign_in(person) for _ in range(5))
    later = START + HOUR / 2
    used(heart, heart.tokens_for(used_by, counting), later)
    used(heart, heart.tokens_for(unused_by, silent), later)
    revoked = {"revoked_at": later, "revoke_reason": EndReason.TOKEN_REVOKED}
    used(heart, heart.tokens_for(with_revoked, counting), later, **revoked)
    used(heart, heart.tokens_for(twice, counting), later)
    used(heart, heart.tokens_for(twice, counting), START + HOUR / 4)
    app = heart.tokens_for(untouched, silent, OFFLINE)
    used(heart, app, later)
    live = {used_by.session_id, twice.session_id, app.session_id}

    assert live_at(heart, START + HOUR) == live
    assert live_at(heart, later + HOUR - INSTANT) == live
    assert live_at(heart, later + HOUR) == set()
    heart.clock.advance(hours=1)
    with heart.database.transaction() as tx:
        done = sweep(tx, now=heart.now, settings=heart.settings)
    assert (done.looked_at, done.ended) == (6, {IDLE: 3})
    assert {row.id for row in heart.all(Session, Session.ended_at.is_(None))} == live
    for one in live:
        row = heart.session(one or "")
        assert (row.last_active_at, row.sweep_at) == (later, later + HOUR)
    assert heart.session(untouched.session_id).last_active_at == START


def test_the_sweep_ends_per_person_and_reason_what_is_over_and_says_that_time_did_it(heart: Heart) -> None:
    heart.with_settings(browser_idle_lifetime=HOUR, browser_absolute_lifetime=2 * HOUR)
    ada, ben = heart.person(), heart.person()
    busy = heart.sign_in(ada).session_id
    heart.change(heart.session(busy), last_active_at=START + 3 * HOUR / 2)
    first = heart.sign_in(ada)
    app = heart.tokens_for(first, heart.client(app_idle_lifetime=HOUR), OFFLINE)
    bens = heart.sign_in(ben).session_id
    heart.clock.advance(hours=2)
    fresh = heart.sign_in(ben).session_id

    with heart.database.transaction() as tx:
        done = sweep(tx, now=heart.now, settings=heart.settings)
        again = sweep(tx, now=heart.now, settings=heart.settings)

    assert (done.looked_at, done.ended) == (4, {EXPIRED: 1, IDLE: 3})
    assert (again.looked_at, again.ended) == (0, {})
    found = {
        (event.user_id, event.reason): (event.browsers_ended, event.apps_ended) for event in heart.all(LogoutEvent)
    }
    assert found == {(ada.id, EXPIRED): (1, 0), (ada.id, IDLE): (1, 1), (ben.id, IDLE): (1, 0)}
    assert {event.actor for event in heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")} == {"time"}
    ended = {row.id: row.ended_at for row in heart.all(Session, Session.ended_at.is_not(None))}
    assert ended == dict.fromkeys((busy, first.session_id, app.session_id, bens), heart.now)
    assert heart.session(fresh).ended_at is None


def test_a_sweep_takes_the_longest_due_first_and_tells_a_late_use_that_did_not_help(heart: Heart) -> None:
    heart.with_settings(browser_idle_lifetime=HOUR)
    person, client = heart.person(), heart.client()
    due = []
    for minutes in (2, 1, 0):
        started = heart.sign_in(person)
        heart.change(heart.session(started.session_id), sweep_at=START + timedelta(minutes=minutes))
        due.append(started)
    used(heart, heart.tokens_for(due[2], client), START + HOUR / 2)
    heart.clock.advance(hours=2)

    with heart.database.transaction() as tx:
        done = sweep(tx, now=heart.now, settings=heart.settings, limit=2)

    assert (done.looked_at, done.ended) == (2, {IDLE: 2})
    assert heart.session(due[0].session_id).ended_at is None
    assert [heart.session(one.session_id).last_active_at for one in due[1:]] == [START, START + HOUR / 2]
