"""What a cookie shows and until when, what counts as activity, and which part of a session a `sid` names."""

from datetime import datetime, timedelta

import pytest

from idp import sessions
from idp.db.models import AuditEvent, Session, SessionClient, SessionKind
from idp.kit.opaque import Secret
from idp.sessions import CurrentSession, Device, StartedSession, participations
from idp.sessions.participations import SidOwner, find_sid
from tests.support.heart import START, Heart

INSTANT, SECOND = timedelta(microseconds=1), timedelta(seconds=1)


def test_a_cookie_shows_whose_session_it_is_and_all_that_pages_say_of_it(heart: Heart) -> None:
    person = heart.person()
    heart.change(person, claims={"name": "Ada Lovelace"}, epoch=3)
    started = heart.sign_in(person, keep_signed_in=True)
    signed_in_again = START + timedelta(minutes=5)
    heart.change(
        heart.session(started.session_id),
        auth_time=signed_in_again,
        last_active_at=signed_in_again + SECOND,
        amr=["pwd", "otp"],
        acr="urn:example:two",
    )

    assert heart.current(started.handle) == CurrentSession(
        id=started.session_id,
        user_id=person.id,
        sub=person.sub,
        user_epoch=3,
        user_display_name="Ada Lovelace",
        email=person.email,
        username=person.username,
        auth_time=signed_in_again,
        amr=("pwd", "otp"),
        acr="urn:example:two",
        keep_signed_in=True,
        started_at=START,
        last_active_at=signed_in_again + SECOND,
        needs_touch=False,
        was_previous_secret=False,
    )


def test_who_gave_no_name_is_called_by_user_name_or_else_by_address(heart: Heart) -> None:
    person = heart.person()
    started = heart.sign_in(person)

    def called() -> str:
        found = heart.current(started.handle)
        assert found is not None
        return found.user_display_name

    assert called() == person.username
    heart.change(person, username=None)
    assert called() == person.email


@pytest.mark.parametrize("moment", ["disabled_at", "deleted_at"])
def test_the_cookie_of_a_closed_account_shows_nothing(heart: Heart, moment: str) -> None:
    person = heart.person()
    started, other = heart.sign_in(person), heart.sign_in(heart.person())

    heart.change(person, **{moment: heart.now})

    assert heart.current(started.handle) is None
    assert heart.current(other.handle) is not None


def renewed(heart: Heart, started: StartedSession, *, keep_previous: bool) -> Secret:
    with heart.database.transaction() as tx:
        return sessions.renew_secret(tx, session_id=started.session_id, now=heart.now, keep_previous=keep_previous)


def secrets_of(heart: Heart, started: StartedSession) -> tuple[bytes | None, bytes | None, datetime | None]:
    row = heart.session(started.session_id)
    return row.secret_hash, row.previous_secret_hash, row.previous_secret_until


def test_a_renewal_keeps_the_cookie_before_for_half_a_minute_or_not_at_all(heart: Heart) -> None:
    person = heart.person()
    kept, cut, other = (heart.sign_in(person) for _ in range(3))
    before, untouched = secrets_of(heart, kept)[0], secrets_of(heart, other)
    heart.clock.advance(minutes=1)

    renewed(heart, cut, keep_previous=True)
    new = [renewed(heart, kept, keep_previous=True), renewed(heart, cut, keep_previous=False)]

    assert secrets_of(heart, kept)[1:] == (before, heart.now + 30 * SECOND)
    assert secrets_of(heart, cut)[1:] == (None, None)
    assert secrets_of(heart, other) == untouched
    assert [one.was_previous_secret for one in map(heart.current, new) if one] == [False, False]
    assert heart.current(Secret(f"{kept.session_id}.{'A' * 22}")) is None
    assert heart.current(cut.handle) is None
    heart.clock.advance(seconds=30, microseconds=-1)
    previous = heart.current(kept.handle)
    assert previous is not None
    assert previous.was_previous_secret
    heart.clock.advance(microseconds=1)
    assert heart.current(kept.handle) is None
    assert heart.current(new[0]) is not None


@pytest.mark.parametrize(("late", "ends"), [(timedelta(), False), (INSTANT, True)], ids=["too late", "in time"])
def test_the_cookie_before_ends_its_session_when_somebody_else_signs_in_within_that_half_minute(
    heart: Heart, late: timedelta, ends: bool
) -> None:
    first = heart.sign_in(heart.person())
    renewed(heart, first, keep_previous=True)
    heart.clock.advance(seconds=(30 * SECOND - late).total_seconds())

    second = heart.sign_in(heart.person(), previous=first.handle)

    assert (second.ended is not None) == ends
    assert (heart.session(first.session_id).ended_at is not None) == ends


def test_activity_is_noted_for_that_session_alone_forward_only_and_never_for_an_ended_one(heart: Heart) -> None:
    person = heart.person()
    one, other, over = (heart.sign_in(person).session_id for _ in range(3))
    heart.end(person, over)

    def touch(session_id: str, moment: datetime) -> list[datetime]:
        with heart.database.transaction() as tx:
            sessions.touch(tx, session_id=session_id, now=moment)
        return [heart.session(each).last_active_at for each in (one, other, over)]

    assert touch(one, START + SECOND) == [START + SECOND, START, START]
    assert touch(one, START) == [START + SECOND, START, START]
    assert touch(over, START + SECOND) == [START + SECOND, START, START]


# ── Parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_application_joins_a_session_once_and_each_session_apart(heart: Heart) -> None:
    person, wiki, news = heart.person(), heart.client(), heart.client()
    here, there = heart.sign_in(person), heart.sign_in(person)

    def join(started: StartedSession, client_id: str, sweep_at: datetime | None = None) -> SessionClient:
        with heart.database.transaction() as tx:
            joined = participations.join(
                tx, session_id=started.session_id, client_id=client_id, now=heart.now, sweep_at=sweep_at
            )
        row: SessionClient = heart.all(SessionClient, SessionClient.id == joined.id)[0]
        assert row.sid == joined.sid
        return row

    first = join(here, wiki.id, START + SECOND)
    heart.clock.advance(seconds=5)
    again, others = join(here, wiki.id), [join(here, news.id), join(there, wiki.id)]
    heart.end_part(person, here, wiki)
    back = join(here, wiki.id)

    assert (first.session_id, first.client_id, first.started_at) == (here.session_id, wiki.id, START)
    assert (first.sweep_at, back.sweep_at) == (START + SECOND, None)
    assert again.id == first.id
    assert len({part.sid for part in (first, back, *others)}) == len({part.id for part in (first, back, *others)}) == 4
    assert back.started_at == heart.now


def test_a_sid_names_its_session_person_and_application_also_when_they_are_over(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    part, app = heart.tokens_for(browser, client), heart.tokens_for(browser, client, "openid offline_access")
    heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.end(person, browser.session_id)

    def owner(sid: str | None) -> SidOwner | None:
        with heart.database.single_reads() as statements:
            return find_sid(statements, sid or "")

    assert owner(part.sid) == SidOwner(browser.session_id, person.id, client.id, SessionKind.BROWSER, None)
    assert owner(app.sid) == SidOwner(app.session_id or "", person.id, client.id, SessionKind.APP, browser.session_id)
    assert owner(browser.session_id) is None


# ── Signing in ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_sign_in_may_make_the_next_look_of_the_sweep_earlier_and_never_later(heart: Heart) -> None:
    person = heart.person()
    kept, usual = heart.sign_in(person, keep_signed_in=True), heart.sign_in(person)
    heart.clock.advance(minutes=5)

    for started, keeps in ((kept, False), (usual, True)):
        heart.sign_in(person, keep_signed_in=keeps, previous=started.handle)

    rows: list[Session] = [heart.session(started.session_id) for started in (kept, usual)]
    assert [row.keep_signed_in for row in rows] == [False, True]
    assert [row.sweep_at for row in rows] == [heart.now + timedelta(hours=24), START + timedelta(hours=24)]


def test_who_is_put_out_by_another_person_is_ended_from_where_that_one_is(heart: Heart) -> None:
    first, other = heart.sign_in(heart.person()), heart.person()

    with heart.database.transaction() as tx:
        sessions.start_browser_session(
            tx,
            user_id=other.id,
            expected_epoch=0,
            amr=["pwd"],
            acr=None,
            keep_signed_in=False,
            device=Device("", "Linux", "Firefox 145", "192.0.2.99"),
            previous_handle=first.handle.reveal(),
            settings=heart.settings,
            now=heart.now,
        )

    [end] = heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert (end.session_id, end.actor, end.ip_address) == (first.session_id, "other person", "192.0.2.99")
