"""What a receipt and the list of receipts say of each act: which application, how far telling it is, until when."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from idp import sessions
from idp.audit.history import Place
from idp.db.models import Client, DeliveryState, EndReason, LogoutDelivery, LogoutEvent, SessionKind, User
from idp.db.types import to_microseconds
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.sessions import Actor, Ended, Frame, Receipt, ReceiptApplication, StartedSession
from idp.sessions import receipt as receipts
from idp.sessions.receipt_list import EndedOne, ReceiptPage, ReceiptRow, list_receipts
from tests.support.heart import REDIRECT, Heart

OFFLINE = "openid offline_access"
NOTICES = "https://app.example/out"
FRAME = "https://app.example/frame"
PENDING, TOLD, CANNOT = DeliveryState.PENDING, DeliveryState.TOLD, DeliveryState.CANNOT_BE_TOLD
OWN = "this very browser"


def end(heart: Heart, person: User, *session_ids: str, acting: str | None = None) -> Ended:
    """An end by somebody at a browser, which has a binding."""
    with heart.database.transaction() as tx:
        return sessions.end_sessions(
            tx,
            user_id=person.id,
            session_ids=session_ids,
            reason=EndReason.SIGNED_OUT,
            actor=Actor(session_id=acting, browser_binding=OWN),
            settings=heart.settings,
            now=heart.now,
        )


def look(heart: Heart, ended: Ended, binding: str | None = OWN) -> Receipt | None:
    assert ended.receipt is not None
    with heart.database.reading() as tx:
        return sessions.find_receipt(tx, handle=ended.receipt.reveal(), browser_binding=binding, now=heart.now)


def own(heart: Heart, person: User, event_id: str | None, binding: str | None = None) -> Receipt | None:
    with heart.database.reading() as tx:
        return sessions.find_own_receipt(
            tx, user_id=person.id, event_id=event_id or "", browser_binding=binding, now=heart.now
        )


def settle(heart: Heart, client: Client, **values: Any) -> None:
    """What became of the notices to one application."""
    for row in heart.all(LogoutDelivery, LogoutDelivery.client_id == client.id):
        heart.change(row, **values)


def listed(heart: Heart, person: User, **paging: Any) -> ReceiptPage:
    with heart.database.reading() as tx:
        return list_receipts(tx, user_id=person.id, now=heart.now, **{"after": None, **paging})


def test_an_application_is_not_tried_again_while_the_first_attempt_is_under_way(heart: Heart) -> None:
    person, slow = heart.person(), heart.client(name="Slow", backchannel_logout_uri=NOTICES)
    session = heart.sign_in(person)
    heart.tokens_for(session, slow)
    ended = end(heart, person, session.session_id)
    settle(heart, slow, attempts=1, leased_until=heart.now + timedelta(seconds=30), lease_holder="worker")

    under_way = look(heart, ended)
    settle(heart, slow, last_failure="no answer in time")
    failed = look(heart, ended)

    assert under_way is not None
    assert failed is not None
    assert [one.is_retrying for one in under_way.applications] == [False]
    assert [one.is_retrying for one in failed.applications] == [True]


def test_a_receipt_says_what_became_of_each_application_in_the_order_of_names(heart: Heart) -> None:
    person = heart.person()
    here, there = heart.sign_in(person), heart.sign_in(person)
    told, slow, deaf = (heart.client(name=name, backchannel_logout_uri=NOTICES) for name in ("Told", "Slow", "Deaf"))
    twins = sorted((heart.client(name="Same") for _ in range(2)), key=lambda client: client.id)
    heart.change(deaf, backchannel_logout_uri=None)
    heart.tokens_for(there, told)
    issued = heart.tokens_for(here, told)
    for client in (slow, deaf, *reversed(twins)):
        heart.tokens_for(here, client)
    heart.sign_in(person)
    ended = end(heart, person, here.session_id, there.session_id)
    bystander = heart.person()
    session = heart.sign_in(bystander)
    heart.tokens_for(session, told)
    end(heart, bystander, session.session_id)
    settled = heart.now + timedelta(minutes=1)
    settle(heart, told, state=TOLD, settled_at=settled)
    settle(heart, slow, attempts=1, last_failure="no answer in time")
    settle(heart, twins[0], state=TOLD, settled_at=settled + timedelta(minutes=1))

    seen = look(heart, ended)

    applications = (
        ReceiptApplication("Deaf", CANNOT, is_retrying=False, settled_at=heart.now),
        ReceiptApplication("Same", TOLD, is_retrying=False, settled_at=settled + timedelta(minutes=1)),
        ReceiptApplication("Same", CANNOT, is_retrying=False, settled_at=heart.now),
        ReceiptApplication("Slow", PENDING, is_retrying=True, settled_at=None),
        ReceiptApplication("Told", TOLD, is_retrying=False, settled_at=settled, count=2),
    )
    assert seen == Receipt(
        reason=EndReason.SIGNED_OUT,
        occurred_at=heart.now,
        browsers=2,
        apps=0,
        applications=applications,
        access_expires_at=issued.access_expires_at,
        pending=1,
        is_own_browser=True,
    )
    elsewhere = look(heart, ended, "another")
    assert elsewhere is not None
    assert not elsewhere.is_own_browser
    assert elsewhere.applications == tuple(
        ReceiptApplication(None, one.state, is_retrying=one.is_retrying, settled_at=None, count=one.count)
        for one in applications
    )


def test_notices_that_wait_are_counted_one_by_one_and_apps_apart_from_browsers(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Tool", backchannel_logout_uri=NOTICES)
    browser = heart.sign_in(person)
    tools = [heart.tokens_for(browser, client, OFFLINE).session_id or "" for _ in range(3)]

    seen = look(heart, end(heart, person, *tools))

    assert seen is not None
    assert (seen.browsers, seen.apps, seen.pending) == (0, 3, 3)
    assert seen.applications == (ReceiptApplication("Tool", PENDING, is_retrying=False, settled_at=None, count=3),)


def signed_out_with_frames(heart: Heart, count: int) -> tuple[User, StartedSession, list[Frame], Ended]:
    person, made = heart.person(), []
    here, there = heart.sign_in(person), heart.sign_in(person)
    for number in range(count):
        uri = f"{FRAME}/{number}"
        client = heart.client(name=f"A{number}", frontchannel_logout_uri=uri, redirect_uris=[REDIRECT])
        made.append(Frame(uri, heart.tokens_for(here, client).sid or ""))
        heart.tokens_for(there, client)
    heart.tokens_for(here, heart.client(name="Without"))
    ended = end(heart, person, here.session_id, there.session_id, acting=here.session_id)
    return person, here, made, ended


def test_the_frames_are_those_of_the_act_and_of_the_browser_that_did_it_for_two_minutes(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, before = signed_out_with_frames(heart, 1)
    person, _, frames, ended = signed_out_with_frames(heart, 2)
    assert (before.frontchannel, ended.frontchannel) == (1, 2)

    seen, again = look(heart, ended), own(heart, person, ended.event_id, OWN)

    assert seen is not None
    assert again is not None
    rows = heart.all(LogoutDelivery, LogoutDelivery.event_id == ended.event_id)
    written = [row.sid for row in sorted(rows, key=lambda row: row.id)]
    assert seen.frames == again.frames == tuple(sorted(frames, key=lambda frame: written.index(frame.sid)))
    asked = {(one.name, one.is_asked_here, one.count) for one in seen.applications}
    assert asked == {("A0", False, 1), ("A0", True, 1), ("A1", False, 1), ("A1", True, 1), ("Without", False, 1)}
    elsewhere = look(heart, ended, "another")
    assert elsewhere is not None
    assert [(one.name, one.is_asked_here) for one in elsewhere.applications] == [
        (None, one.is_asked_here) for one in seen.applications
    ]
    for binding in (None, "another"):
        other = own(heart, person, ended.event_id, binding)
        assert other is not None
        assert (other.frames, other.is_own_browser, other.applications[0].name) == ((), False, "A0")
    monkeypatch.setattr(receipts, "MAXIMUM_FRAMES", 1)
    fewer = look(heart, ended)
    assert fewer is not None
    assert fewer.frames == seen.frames[:1]
    heart.clock.advance(minutes=2)
    late = look(heart, ended)
    assert late is not None
    assert (late.frames, late.is_own_browser) == ((), True)


def test_a_person_reads_an_own_receipt_up_for_ninety_days_and_nobody_elses(heart: Heart) -> None:
    person = heart.person()
    ended, later = (end(heart, person, heart.sign_in(person).session_id) for _ in range(2))

    assert own(heart, heart.person(), ended.event_id) is None
    assert own(heart, person, new_identifier(shard_key_in(person.id), heart.now)) is None
    assert own(heart, person, "no identifier") is None
    heart.clock.advance(hours=24, microseconds=-1)
    assert look(heart, ended) is not None
    heart.clock.advance(microseconds=1)
    assert look(heart, ended) is None
    heart.clock.advance(days=89, microseconds=-1)
    assert own(heart, person, ended.event_id) is not None
    assert {row.event_id for row in listed(heart, person).rows} == {ended.event_id, later.event_id}
    heart.clock.advance(microseconds=1)
    assert own(heart, person, ended.event_id) is None
    assert listed(heart, person).rows == ()


def test_a_line_of_the_list_says_all_of_its_own_act(heart: Heart) -> None:
    person, tool = heart.person(), heart.client(name="Tool", backchannel_logout_uri=NOTICES)
    browser = heart.sign_in(person)
    app = heart.tokens_for(browser, tool, OFFLINE)
    assert app.session_id is not None
    began = heart.now
    names = {"device_name": "Desk", "os_name": "OS", "agent_name": "Agent", "label": "Mine"}
    heart.change(heart.session(app.session_id), **names, last_active_at=began + timedelta(seconds=5))
    heart.clock.advance(minutes=1)
    first = end(heart, person, app.session_id)
    ended_at = heart.now
    heart.clock.advance(minutes=1)
    second = end(heart, person, browser.session_id, heart.sign_in(person).session_id)
    stranger = heart.person()
    end(heart, stranger, heart.sign_in(stranger).session_id)

    page = listed(heart, person)

    assert page.older is None
    assert page.rows == (
        ReceiptRow(
            event_id=second.event_id or "",
            reason=EndReason.SIGNED_OUT,
            occurred_at=heart.now,
            browsers=2,
            apps=0,
            access_expires_at=None,
            states=Counter(),
            ended=None,
            application=None,
        ),
        ReceiptRow(
            event_id=first.event_id or "",
            reason=EndReason.SIGNED_OUT,
            occurred_at=ended_at,
            browsers=0,
            apps=1,
            access_expires_at=app.access_expires_at,
            states=Counter({PENDING: 1}),
            ended=EndedOne(
                kind=SessionKind.APP,
                **names,
                started_at=began,
                last_active_at=began + timedelta(seconds=5),
                client_name="Tool",
            ),
            application="Tool",
        ),
    )


def test_of_a_browser_and_an_app_that_ended_at_once_neither_names_the_act(heart: Heart) -> None:
    person, tool = heart.person(), heart.client()
    browser = heart.sign_in(person)
    apps = [heart.tokens_for(browser, tool, OFFLINE).session_id or "" for _ in range(2)]
    other = heart.sign_in(person)
    end(heart, person, browser.session_id, *apps)
    end(heart, person, other.session_id)

    rows = {(row.browsers, row.apps): row for row in listed(heart, person).rows}

    assert rows[1, 2].ended is None
    single = rows[1, 0].ended
    assert single is not None
    assert (single.kind, single.client_name) == (SessionKind.BROWSER, None)


def test_the_worst_of_an_applications_notices_counts_for_each_act_by_itself(heart: Heart) -> None:
    person = heart.person()
    two, one = (heart.client(name=name, backchannel_logout_uri=NOTICES) for name in ("Two", "One"))
    acts = []
    for _ in range(2):
        browsers = [heart.sign_in(person) for _ in range(2)]
        for browser in browsers:
            heart.tokens_for(browser, two)
        heart.tokens_for(browsers[0], one)
        acts.append(end(heart, person, *(browser.session_id for browser in browsers)).event_id)
        heart.clock.advance(minutes=1)
    settle(heart, one, state=TOLD, settled_at=heart.now)
    worst = [
        [TOLD, DeliveryState.GAVE_UP],
        [DeliveryState.REFUSED, CANNOT],
    ]
    for act, states in zip(acts, worst, strict=True):
        rows = heart.all(LogoutDelivery, LogoutDelivery.client_id == two.id, LogoutDelivery.event_id == act)
        for row, state in zip(rows, states, strict=True):
            heart.change(row, state=state, settled_at=heart.now)

    later, earlier = listed(heart, person).rows

    assert earlier.states == Counter({TOLD: 1, DeliveryState.GAVE_UP: 1})
    assert later.states == Counter({TOLD: 1, DeliveryState.REFUSED: 1})
    assert (earlier.application, later.application) == (None, None)


def test_the_list_goes_on_behind_a_place_also_among_acts_of_one_moment(heart: Heart) -> None:
    person = heart.person()
    for _ in range(3):
        end(heart, person, heart.sign_in(person).session_id)
    heart.clock.advance(seconds=1)
    end(heart, person, heart.sign_in(person).session_id)
    events = sorted(heart.all(LogoutEvent), key=lambda row: (row.occurred_at, row.id), reverse=True)
    ids = [event.id for event in events]

    first = listed(heart, person, limit=2)
    rest = listed(heart, person, limit=2, after=first.older)

    assert [row.event_id for row in first.rows] == ids[:2]
    assert first.older == Place(to_microseconds(events[1].occurred_at), ids[1])
    assert [row.event_id for row in rest.rows] == ids[2:]
    assert rest.older is None
