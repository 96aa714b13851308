"""What the question before an end says: how many, which by name, and whom it will be told; and which a choice means."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import ColumnElement, select

from idp import sessions
from idp.db.models import Client, EndReason, Session, SessionKind, User
from idp.sessions import Actor, EndPreview, StartedSession, preview
from idp.sessions.preview import ApplicationPreview, SessionPreview, everything_but
from idp.sessions.selection import chosen, end_chosen, tools_of, unused_since
from tests.support.heart import START, Heart

OFFLINE = "openid offline_access"
OUT, FRAME = "https://app.example/out", "https://app.example/frame"
INSTANT, HOUR = timedelta(microseconds=1), timedelta(hours=1)
NAMES = ("device_name", "os_name", "agent_name", "label")


def tool_of(heart: Heart, browser: StartedSession, client: Client) -> str:
    return heart.tokens_for(browser, client, OFFLINE).session_id or ""


def previewed(heart: Heart, person: User, which: ColumnElement[bool] | None = None, **given: Any) -> EndPreview:
    with heart.database.reading() as tx:
        return sessions.preview_end(
            tx,
            user_id=person.id,
            which=everything_but(None) if which is None else which,
            now=heart.now,
            policy=heart.policy,
            **given,
        )


def test_the_sessions_that_would_end_are_named_browsers_first_and_the_latest_used_before_others(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, tool = heart.person(), heart.client(name="Tool")
    browsers = [heart.sign_in(person) for _ in range(2)]
    twins = sorted(tool_of(heart, browsers[0], tool) for _ in range(2))
    # The identifiers say the opposite of the latest use: they decide between those of one moment alone.
    for number, one in enumerate((*sorted(browser.session_id for browser in browsers), *twins)):
        heart.change(
            heart.session(one),
            last_active_at=START + timedelta(minutes=(3, 2, 8, 8)[number]),
            started_at=START - timedelta(minutes=number),
            **{name: f"{name} {number}" for name in NAMES},
        )
    heart.sign_in(heart.person())

    found = previewed(heart, person, named=True)

    def named(number: int, kind: SessionKind, client_name: str | None) -> SessionPreview:
        device, system, agent, label = (f"{name} {number}" for name in NAMES)
        return SessionPreview(kind, device, system, agent, label, client_name, START - timedelta(minutes=number))

    assert (found.browsers, found.apps) == (2, 2)
    assert found.sessions == (
        *(named(number, SessionKind.BROWSER, None) for number in (0, 1)),
        *(named(number, SessionKind.APP, "Tool") for number in (3, 2)),
    )
    assert previewed(heart, person).sessions == ()
    monkeypatch.setattr(preview, "MAXIMUM_PREVIEWED_SESSIONS", 3)
    assert len(previewed(heart, person, named=True).sessions) == 3


def test_the_applications_that_would_hear_of_it_are_named_once_each_and_how(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, stranger = heart.person(), heart.person()
    here, there = heart.sign_in(person), heart.sign_in(person)
    wiki, mute = heart.client(name="Wiki", backchannel_logout_uri=OUT), heart.client(name="Mute")
    framed, far = (heart.client(name=name, frontchannel_logout_uri=FRAME) for name in ("Framed", "Far"))
    twins = [heart.client(name="Twin", backchannel_logout_uri=uri) for uri in (OUT, None, OUT)]
    left, strange = heart.client(name="Left"), heart.client(name="Strange")
    for browser in (here, there):
        for client in (wiki, framed):
            heart.tokens_for(browser, client)
    for client in (*twins, mute, left):
        heart.tokens_for(here, client)
    heart.tokens_for(there, far)
    heart.tokens_for(heart.sign_in(stranger), strange)
    heart.end_part(person, here, left)

    applications = previewed(heart, person, acting_session_id=here.session_id).applications

    told = {client.id: client.backchannel_logout_uri is not None for client in twins}
    assert applications == (
        ApplicationPreview("Far", can_be_told=False),
        ApplicationPreview("Framed", can_be_told=False, is_asked_here=True),
        ApplicationPreview("Mute", can_be_told=False),
        *(ApplicationPreview("Twin", can_be_told=told[one]) for one in sorted(told)),
        ApplicationPreview("Wiki", can_be_told=True),
    )
    assert not any(one.is_asked_here for one in previewed(heart, person).applications)
    monkeypatch.setattr(preview, "MAXIMUM_PREVIEWED_APPLICATIONS", 2)
    assert [one.name for one in previewed(heart, person).applications] == ["Far", "Framed"]


def test_nothing_is_left_to_end_of_what_is_over_by_its_own_apps_lifetimes(heart: Heart) -> None:
    person, short, usual = (
        heart.person(),
        heart.client(name="Short", app_idle_lifetime=HOUR),
        heart.client(name="Usual"),
    )
    browser = heart.sign_in(person)
    for client in (short, usual):
        tool_of(heart, browser, client)

    def seen() -> tuple[int, int, list[str], list[str | None], list[int]]:
        found = previewed(heart, person, named=True)
        with heart.database.reading() as tx:
            of_clients = [
                sessions.preview_end_client(
                    tx, user_id=person.id, client_id=client.id, now=heart.now, policy=heart.policy
                )
                for client in (short, usual)
            ]
        return (
            found.browsers,
            found.apps,
            [application.name for application in found.applications],
            [one.client_name for one in found.sessions],
            [one.apps for one in of_clients],
        )

    heart.clock.advance(hours=1, microseconds=-1)
    browsers, apps, names, of_sessions, of_clients = seen()
    assert (browsers, apps, names, set(of_sessions)) == (1, 2, ["Short", "Usual"], {None, "Short", "Usual"})
    assert of_clients == [1, 1]
    heart.clock.advance(microseconds=1)
    assert seen() == (1, 1, ["Usual"], [None, "Usual"], [0, 1])


def test_an_application_that_cannot_be_told_is_said_to_be_so(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Mute")
    heart.client(name="Another", backchannel_logout_uri=OUT)

    with heart.database.reading() as tx:
        found = sessions.preview_end_client(
            tx, user_id=person.id, client_id=client.id, now=heart.now, policy=heart.policy
        )

    assert found == EndPreview(0, 0, (ApplicationPreview("Mute", can_be_told=False),))


def test_everything_is_everything_but_the_one_that_goes_on_and_on_request_but_the_apps(heart: Heart) -> None:
    person, framed = heart.person(), heart.client(name="Framed", frontchannel_logout_uri=FRAME)
    here, there = heart.sign_in(person), heart.sign_in(person)
    heart.tokens_for(here, framed)
    tool_of(heart, there, heart.client(name="Tool"))

    def seen(keep: str | None, **given: Any) -> tuple[int, int, list[tuple[str, bool]]]:
        with heart.database.reading() as tx:
            found = sessions.preview_end_everything(
                tx, user_id=person.id, except_session_id=keep, now=heart.now, policy=heart.policy, **given
            )
        return found.browsers, found.apps, [(one.name, one.is_asked_here) for one in found.applications]

    assert seen(None) == (2, 1, [("Framed", False), ("Tool", False)])
    assert seen(None, acting_session_id=here.session_id) == (2, 1, [("Framed", True), ("Tool", False)])
    assert seen(here.session_id) == (1, 1, [("Tool", False)])
    assert seen(here.session_id, keep_apps=True) == (1, 0, [])
    assert seen(None, keep_apps=True) == (2, 0, [("Framed", False)])
    tools = previewed(heart, person, tools_of([there.session_id]))
    assert (tools.browsers, tools.apps) == (0, 1)


# ── Which sessions a choice means ─────────────────────────────────────────────────────────────────────────────────────


def meant(heart: Heart, which: ColumnElement[bool]) -> set[str]:
    with heart.database.reading() as tx:
        return set(tx.scalars(select(Session.id).where(which)))


def test_a_choice_means_what_was_ticked_with_or_without_its_tools_and_never_the_one_to_keep(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    here, there, other = (heart.sign_in(person) for _ in range(3))
    mine, theirs, others = (tool_of(heart, one, client) for one in (here, there, other))
    ticked = [here.session_id, there.session_id, theirs]

    assert meant(heart, chosen(ticked, with_tools=False, keep=here.session_id)) == {there.session_id, theirs}
    assert meant(heart, chosen(ticked, with_tools=True, keep=here.session_id)) == {there.session_id, theirs, mine}
    assert meant(heart, tools_of(ticked)) == {mine}
    assert meant(heart, tools_of([other.session_id])) == {others}
    assert meant(heart, tools_of([])) == set()


def test_unused_is_what_neither_a_page_nor_a_refresh_has_used_since(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    here, idle, by_page, by_refresh = (heart.sign_in(person) for _ in range(4))
    for one, refreshed in ((idle, START), (by_refresh, START + INSTANT)):
        heart.change(heart.family(heart.tokens_for(one, client)), last_used_at=refreshed)
    heart.change(heart.session(by_page.session_id), last_active_at=START + INSTANT)

    assert meant(heart, unused_since(START, keep=here.session_id)) == {idle.session_id}
    assert meant(heart, unused_since(START - INSTANT, keep=here.session_id)) == set()


def test_a_choice_ends_what_is_live_of_ones_own_and_leaves_the_expired_to_the_sweep(heart: Heart) -> None:
    person, stranger, short = heart.person(), heart.person(), heart.client(app_idle_lifetime=HOUR)
    browser, kept, strange = heart.sign_in(person), heart.sign_in(person), heart.sign_in(stranger)
    expired, usual = (tool_of(heart, browser, client) for client in (short, heart.client()))
    heart.clock.advance(hours=1)
    live = tool_of(heart, browser, short)

    with heart.database.transaction() as tx:
        ended = end_chosen(
            tx,
            user_id=person.id,
            which=everything_but(kept.session_id),
            actor=Actor(),
            settings=heart.settings,
            policy=heart.policy,
            now=heart.now,
        )

    assert (ended.browsers, ended.apps, ended.reason) == (1, 2, EndReason.ENDED_BY_PERSON)
    left = {row.id for row in heart.all(Session, Session.ended_at.is_(None))}
    assert left == {expired, kept.session_id, strange.session_id}
    assert heart.session(live).ended_at == heart.session(usual).ended_at == heart.now
