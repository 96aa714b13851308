"""When one application loses access: whose, which part of it, and what stays of others in the very same sessions."""

from datetime import timedelta

from idp import sessions
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    Client,
    EndReason,
    LogoutEvent,
    Session,
    SessionClient,
    SessionKind,
    User,
)
from idp.sessions import Actor, Ended
from idp.sessions.census import count_people_of_client, forget_devices
from idp.sessions.mass_end import MassEnd, count_people
from idp.tokens import Issued, Refused
from tests.support.heart import Heart

OFFLINE = "openid offline_access"
OUT = "https://app.example/out"
MINUTE = timedelta(minutes=1)
OPERATOR = Actor(name="operator", ip_address="192.0.2.50")


def end_older(heart: Heart, client: Client, since_seconds_ago: int, after: str, limit: int) -> MassEnd:
    with heart.database.transaction() as tx:
        return sessions.end_older_of_client(
            tx,
            client_id=client.id,
            since=heart.now - timedelta(seconds=since_seconds_ago),
            after=after,
            actor=OPERATOR,
            settings=heart.settings,
            now=heart.now,
            limit=limit,
        )


def ended_parts(heart: Heart) -> set[tuple[str, str]]:
    """The `sid` and reason of every part that has ended."""
    return {(part.sid, part.end_reason) for part in heart.all(SessionClient, SessionClient.ended_at.is_not(None))}


def audited(heart: Heart, kind: str) -> list[tuple[str, str | None, str]]:
    return [(row.actor, row.user_id, row.ip_address) for row in heart.all(AuditEvent, AuditEvent.kind == kind)]


def test_what_rests_on_an_older_sign_in_ends_person_by_person_with_all_that_is_told(heart: Heart) -> None:
    strict, other = heart.client(backchannel_logout_uri=OUT), heart.client(backchannel_logout_uri=OUT)
    people = sorted((heart.person() for _ in range(3)), key=lambda person: person.id)
    expected: set[tuple[str, str]] = set()
    kept: list[tuple[Issued, Client]] = []
    for person in people:
        browser = heart.sign_in(person)
        for scope in ("openid", OFFLINE):
            expected.add((heart.tokens_for(browser, strict, scope).sid or "", EndReason.SIGN_IN_AGAIN))
            kept.append((heart.tokens_for(browser, other, scope), other))
    elsewhere = heart.sign_in(heart.person())
    kept.append((heart.tokens_for(elsewhere, other), other))
    heart.clock.advance(seconds=20)
    newer = heart.sign_in(people[0])
    kept.append((heart.tokens_for(newer, strict), strict))

    first = end_older(heart, strict, 20, after="", limit=2)
    assert first == MassEnd(), "as old as the moment is not older"
    done = [end_older(heart, strict, 19, after=after, limit=2) for after in ("", people[2].id, "")]

    each = {"browsers": 0, "apps": 1, "participations": 2, "notices": 2}
    two = {name: 2 * count for name, count in each.items()}
    assert done == [
        MassEnd(people[1].id, people=2, **two),
        MassEnd(),
        MassEnd(people[2].id, people=1, **each),
    ]
    assert end_older(heart, strict, 19, after="", limit=9) == MassEnd()
    assert ended_parts(heart) == expected
    assert all(isinstance(heart.refresh(issued, client), Issued) for issued, client in kept)
    events = {(event.user_id, event.reason, event.browsers_ended, event.apps_ended) for event in heart.all(LogoutEvent)}
    assert events == {(person.id, EndReason.SIGN_IN_AGAIN, 0, 1) for person in people}
    assert sorted(audited(heart, "sessions_ended")) == sorted(("operator", one.id, "192.0.2.50") for one in people)


def test_who_lost_the_application_before_or_signed_out_is_not_concerned(heart: Heart) -> None:
    strict, other = heart.client(), heart.client()
    left, over, strange = heart.person(), heart.person(), heart.person()
    here, gone = heart.sign_in(left), heart.sign_in(over)
    for browser in (here, gone):
        heart.tokens_for(browser, strict)
    heart.tokens_for(heart.sign_in(strange), other)
    heart.end_part(left, here, strict)
    heart.end(over, gone.session_id)
    heart.clock.advance(minutes=1)

    assert end_older(heart, strict, 0, after="", limit=9) == MassEnd()


def test_an_older_code_of_that_application_is_worthless_and_others_codes_are_not(heart: Heart) -> None:
    strict, other = heart.client(), heart.client()
    person = heart.person()
    older = heart.sign_in(person)
    part = heart.tokens_for(older, strict)
    of_strict, of_other = heart.code(older, strict), heart.code(older, other)
    heart.clock.advance(seconds=20)
    of_newer = heart.code(heart.sign_in(person), strict)

    end_older(heart, strict, 10, after="", limit=9)

    assert ended_parts(heart) == {(part.sid, EndReason.SIGN_IN_AGAIN)}
    assert isinstance(heart.redeem(of_strict, strict), Refused)
    assert isinstance(heart.redeem(of_other, other), Issued)
    assert isinstance(heart.redeem(of_newer, strict), Issued)


def test_one_persons_older_sign_ins_end_as_the_operator_said_and_newer_ones_do_not(heart: Heart) -> None:
    person = heart.person()
    older = heart.sign_in(person)
    heart.clock.advance(seconds=20)
    same, newer = heart.sign_in(person), heart.sign_in(person)
    heart.change(heart.session(newer.session_id), auth_time=heart.now + MINUTE)

    with heart.database.transaction() as tx:
        ended = sessions.end_older_of_user(
            tx, user_id=person.id, since=heart.now, actor=OPERATOR, settings=heart.settings, now=heart.now
        )

    assert (ended.browsers, ended.reason) == (1, EndReason.SIGN_IN_AGAIN)
    assert {row.id for row in heart.all(Session, Session.ended_at.is_not(None))} == {older.session_id}
    assert heart.session(same.session_id).ended_at is None
    assert audited(heart, "sessions_ended") == [("operator", person.id, "192.0.2.50")]


# ── Consent withdrawn, an application removed ─────────────────────────────────────────────────────────────────────────


def test_only_what_the_application_still_had_ends_and_only_its_own_codes(heart: Heart) -> None:
    person, stranger, client, other = heart.person(), heart.person(), heart.client(), heart.client()
    here, there, strange = heart.sign_in(person), heart.sign_in(person), heart.sign_in(stranger)
    before = heart.tokens_for(here, client)
    heart.end_part(person, here, client)
    parts = [heart.tokens_for(one, client) for one in (here, there)]
    codes = [heart.code(one, client) for one in (here, heart.sign_in(person), strange)]
    others = [heart.code(here, other), heart.code(there, other)]

    ended = heart.withdraw(person, client)

    assert (ended.browsers, ended.apps, ended.participations) == (0, 0, 2)
    reuse, withdrawn = EndReason.REFRESH_TOKEN_REUSE, EndReason.CONSENT_WITHDRAWN
    assert ended_parts(heart) == {(before.sid, reuse), *((part.sid, withdrawn) for part in parts)}
    assert [type(heart.redeem(code, client)) for code in codes] == [Refused, Refused, Issued]
    assert all(isinstance(heart.redeem(code, other), Issued) for code in others)


def test_one_part_ends_in_one_session_with_its_codes_and_nothing_beside_it(heart: Heart) -> None:
    person, client, other = heart.person(), heart.client(), heart.client()
    here, there = heart.sign_in(person), heart.sign_in(person)
    mine, theirs = heart.tokens_for(here, client), heart.tokens_for(there, client)
    beside = heart.tokens_for(here, other)
    code, code_there, code_beside = heart.code(here, client), heart.code(there, client), heart.code(here, other)

    ended = heart.end_part(person, here, client)

    assert (ended.browsers, ended.apps, ended.participations) == (0, 0, 1)
    assert ended_parts(heart) == {(mine.sid, EndReason.REFRESH_TOKEN_REUSE)}
    assert isinstance(heart.redeem(code, client), Refused)
    assert isinstance(heart.redeem(code_there, client), Issued)
    assert isinstance(heart.redeem(code_beside, other), Issued)
    assert isinstance(heart.refresh(theirs, client), Issued)
    assert isinstance(heart.refresh(beside, other), Issued)


def test_a_part_that_ended_before_is_no_second_act(heart: Heart) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri=OUT)
    browser = heart.sign_in(person)
    heart.tokens_for(browser, client)

    first, second = (heart.end_part(person, browser, client) for _ in range(2))

    assert (first.participations, second) == (1, Ended())
    assert [event.id for event in heart.all(LogoutEvent)] == [first.event_id]
    assert len(audited(heart, "participation_ended")) == 1


def test_another_application_named_for_an_apps_session_ends_nothing(heart: Heart) -> None:
    person, client, other = heart.person(), heart.client(), heart.client()
    app = heart.tokens_for(heart.sign_in(person), client, OFFLINE)

    with heart.database.transaction() as tx:
        ended = sessions.end_participation(
            tx,
            user_id=person.id,
            session_id=app.session_id or "",
            client_id=other.id,
            reason=EndReason.ENDED_BY_PERSON,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )

    assert ended.event_id is None
    assert isinstance(heart.refresh(app, client), Issued)


def end_everywhere(heart: Heart, client: Client, limit: int) -> int:
    with heart.database.transaction() as tx:
        return sessions.end_client_everywhere(
            tx,
            client_id=client.id,
            reason=EndReason.CLIENT_DELETED,
            actor=OPERATOR,
            settings=heart.settings,
            now=heart.now,
            limit=limit,
        )


def holders(heart: Heart, client: Client) -> int:
    with heart.database.reading() as tx:
        return count_people_of_client(tx, client_id=client.id, now=heart.now)


def test_a_removed_applications_people_are_gone_through_in_batches_by_its_operator(heart: Heart) -> None:
    client, other = heart.client(), heart.client()
    people = sorted((heart.person() for _ in range(3)), key=lambda person: person.id)
    for person in people:
        heart.tokens_for(heart.sign_in(person), client)
    bystander = heart.tokens_for(heart.sign_in(heart.person()), other)

    assert [end_everywhere(heart, client, 2), holders(heart, client)] == [2, 1]
    assert {event.user_id for event in heart.all(LogoutEvent)} == {people[0].id, people[1].id}
    assert [end_everywhere(heart, client, 2), end_everywhere(heart, client, 2)] == [1, 0]

    assert {(event.reason, event.user_id) for event in heart.all(LogoutEvent)} == {
        (EndReason.CLIENT_DELETED, person.id) for person in people
    }
    assert {row[0] for row in audited(heart, "participation_ended")} == {"operator"}
    assert isinstance(heart.refresh(bystander, other), Issued)


def test_a_code_counts_as_access_until_five_minutes_after_its_end_unless_used_or_its_session_ended(
    heart: Heart,
) -> None:
    client, other = heart.client(), heart.client()
    gone, part_gone = heart.person(), heart.person()
    ended, left, used = heart.sign_in(gone), heart.sign_in(part_gone), heart.sign_in(heart.person())
    heart.code(ended, client)
    heart.end(gone, ended.session_id)
    heart.tokens_for(left, client)
    heart.end_part(part_gone, left, client)
    heart.redeem(heart.code(used, client), client)
    heart.code(heart.sign_in(heart.person()), client)
    for _ in range(3):
        heart.code(heart.sign_in(heart.person()), other)

    assert holders(heart, client) == 2, "who used a code and who holds one"
    heart.clock.advance(minutes=6, microseconds=-1)
    assert holders(heart, client) == 2
    heart.clock.advance(microseconds=1)
    assert holders(heart, client) == 1


# ── Older than a back-up: everybody's, or one application's, in batches ───────────────────────────────────────────────


def end_next(heart: Heart, client: Client | None, after: str, limit: int) -> MassEnd:
    with heart.database.transaction() as tx:
        return sessions.end_next_people(
            tx,
            client_id=client.id if client else None,
            before=heart.now,
            after=after,
            reason=EndReason.RESTORED,
            actor=OPERATOR,
            settings=heart.settings,
            now=heart.now,
            limit=limit,
        )


def to_end(heart: Heart, client: Client | None) -> int:
    with heart.database.reading() as tx:
        return count_people(tx, client_id=client.id if client else None, before=heart.now, now=heart.now)


def three_people(heart: Heart, client: Client) -> list[User]:
    """Each with a part of the application in a browser, and an app that it approved."""
    people = sorted((heart.person() for _ in range(3)), key=lambda person: person.id)
    for person in people:
        browser = heart.sign_in(person)
        for scope in ("openid", OFFLINE):
            heart.tokens_for(browser, client, scope)
    return people


def test_sessions_from_before_a_moment_end_in_batches_of_people_and_newer_ones_go_on(heart: Heart) -> None:
    people = three_people(heart, heart.client(backchannel_logout_uri=OUT))
    signed_out = heart.person()
    heart.end(signed_out, heart.sign_in(signed_out).session_id)
    heart.clock.advance(seconds=30)
    newer = {heart.sign_in(one).session_id for one in (people[1], heart.person())}
    assert to_end(heart, None) == 3

    done = [end_next(heart, None, after, limit=1) for after in (people[0].id, people[1].id, people[2].id)]

    each = {"people": 1, "browsers": 1, "apps": 1, "participations": 2, "notices": 2}
    assert done == [MassEnd(people[1].id, **each), MassEnd(people[2].id, **each), MassEnd()]
    assert to_end(heart, None) == 1
    left = {(row.user_id, row.id in newer) for row in heart.all(Session, Session.ended_at.is_(None))}
    assert left == {(people[0].id, False), *((heart.session(one).user_id, True) for one in newer)}
    assert {row.id: row.epoch for row in heart.all(User) if row.epoch} == {people[1].id: 1, people[2].id: 1}
    reasons = {(event.reason, event.user_id) for event in heart.all(LogoutEvent, LogoutEvent.apps_ended == 1)}
    assert reasons == {(EndReason.RESTORED, people[1].id), (EndReason.RESTORED, people[2].id)}
    assert ("operator", people[1].id, "192.0.2.50") in audited(heart, "sessions_ended")


def test_one_applications_access_ends_in_batches_of_people_and_their_browsers_go_on(heart: Heart) -> None:
    client, other = heart.client(backchannel_logout_uri=OUT), heart.client()
    people = three_people(heart, client)
    beside = heart.tokens_for(heart.sign_in(people[0]), other)
    assert to_end(heart, client) == 3

    done = [end_next(heart, client, after, limit=2) for after in (people[0].id, "", "")]

    assert done == [
        MassEnd(people[2].id, people=2, browsers=0, apps=2, participations=4, notices=4),
        MassEnd(people[0].id, people=1, browsers=0, apps=1, participations=2, notices=2),
        MassEnd(),
    ]
    assert to_end(heart, client) == 0
    assert {reason for _, reason in ended_parts(heart)} == {EndReason.RESTORED}
    assert {row.kind for row in heart.all(Session, Session.ended_at.is_(None))} == {SessionKind.BROWSER}
    assert isinstance(heart.refresh(beside, other), Issued)
    assert {row[0] for row in audited(heart, "sessions_ended")} == {"operator"}


# ── An account that is deleted ────────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_persons_machines_are_forgotten_and_nobody_elses(heart: Heart) -> None:
    person, stranger = heart.person(), heart.person()
    for owner in (person, stranger):
        browser = heart.sign_in(owner)
        heart.change(heart.session(browser.session_id), device_name="Desk", label="Mine")
        device = sessions.Device("Ada's laptop", "Linux", "Tool 1.2", "192.0.2.9")
        heart.code(browser, heart.client(), device=device)
        heart.end(owner, browser.session_id)

    with heart.database.transaction() as tx:
        forget_devices(tx, user_id=person.id)

    def known(owner: User) -> list[tuple[str, ...]]:
        names = ("device_name", "os_name", "agent_name", "ip_address")
        [session] = heart.all(Session, Session.user_id == owner.id)
        [code] = heart.all(AuthorizationCode, AuthorizationCode.user_id == owner.id)
        rows = (session, code)
        return [tuple(getattr(row, name) for name in names) for row in rows] + [(session.label,)]

    assert known(person) == [("",) * 4, ("",) * 4, ("",)]
    assert known(stranger) == [
        ("Desk", "Linux", "Firefox 145", "192.0.2.7"),
        ("Ada's laptop", "Linux", "Tool 1.2", "192.0.2.9"),
        ("Mine",),
    ]
