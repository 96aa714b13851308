"""Every field of what the account page shows of live and ended sessions, each from the row that it belongs to."""

from datetime import timedelta
from typing import Any

import pytest

from idp import sessions
from idp.db.models import Client, DeliveryState, EndReason, SessionKind, User
from idp.sessions import ApprovedIn, DeviceRow, DevicesPage, EndedRow, LiveSession, ReceiptApplication, StartedSession
from idp.sessions import ended as ended_sessions
from idp.sessions import live as live_sessions
from idp.sessions.ended import ApprovedApp, EndedDetails, EndedName, find_ended, name_ended
from idp.sessions.live import UsedApplication
from tests.support.heart import Heart

OFFLINE = "openid offline_access"
NOTICES = "https://app.example/out"
HOUR = timedelta(hours=1)
# What the heart's browsers say of themselves.
FIREFOX: dict[str, Any] = {
    "device_name": "",
    "os_name": "Linux",
    "agent_name": "Firefox 145",
    "label": "",
    "ip_address": "192.0.2.7",
}


def machine(name: str) -> dict[str, Any]:
    """What an app's session says of where it runs: every text another one, and nobody else's."""
    words = {field: f"{name} {field}" for field in ("device_name", "os_name", "agent_name", "label")}
    return {**words, "ip_address": "192.0.2.99"}


def listed(heart: Heart, person: User, current: str | None = None, **paging: Any) -> DevicesPage:
    with heart.database.reading() as tx:
        return sessions.list_devices(
            tx, user_id=person.id, current_session_id=current, now=heart.now, policy=heart.policy, **paging
        )


def shown(heart: Heart, person: User, session_id: str) -> LiveSession | None:
    with heart.database.reading() as tx:
        return sessions.find_live_session(
            tx, user_id=person.id, session_id=session_id, now=heart.now, policy=heart.policy
        )


def remembered(heart: Heart, person: User, session_id: str) -> EndedDetails | None:
    with heart.database.reading() as tx:
        return find_ended(tx, user_id=person.id, session_id=session_id, now=heart.now, policy=heart.policy)


def named(heart: Heart, person: User, session_id: str) -> EndedName | None:
    with heart.database.single_reads() as statements:
        return name_ended(statements, user_id=person.id, session_id=session_id, now=heart.now, policy=heart.policy)


def app_of(heart: Heart, browser: StartedSession, client: Client, name: str) -> str:
    """An app approved in a browser, on a machine with names of its own."""
    session_id = heart.tokens_for(browser, client, OFFLINE).session_id
    assert session_id is not None
    heart.change(heart.session(session_id), **machine(name))
    return session_id


def test_a_row_says_all_of_its_own_session_and_nothing_of_another(heart: Heart) -> None:
    person, tool, wiki, news = heart.person(), *(heart.client(name=name) for name in ("Tool", "Wiki", "News"))
    here, there = heart.sign_in(person, keep_signed_in=True), heart.sign_in(person)
    heart.change(heart.session(here.session_id), device_name="Desk", label="Mine")
    began = heart.now
    left = heart.client(name="Left again")
    for client in (wiki, news, left):
        heart.tokens_for(here, client)
    heart.end_part(person, here, left)
    first, second, third = (app_of(heart, one, tool, name) for one, name in ((here, "A"), (here, "B"), (there, "C")))
    heart.sign_in(heart.person())
    heart.end(person, there.session_id)

    page = listed(heart, person, here.session_id)

    browser = DeviceRow(
        session_id=here.session_id,
        kind=SessionKind.BROWSER,
        **{**FIREFOX, "device_name": "Desk", "label": "Mine"},
        client_name=None,
        started_at=began,
        last_active_at=began,
        keep_signed_in=True,
        is_current=True,
        applications=("News", "Wiki"),
        parent_id=None,
        approved_in=None,
        approved_apps=2,
    )
    assert page.browsers == [browser]
    app = DeviceRow(
        session_id=third,
        kind=SessionKind.APP,
        **machine("C"),
        client_name="Tool",
        started_at=began,
        last_active_at=began,
        keep_signed_in=False,
        is_current=False,
        applications=("Tool",),
        parent_id=there.session_id,
        approved_in=ApprovedIn(there.session_id, "", "Linux", "Firefox 145", is_over=True),
        approved_apps=0,
    )
    assert next(row for row in page.apps if row.session_id == third) == app
    others = [row.approved_in for row in page.apps if row.session_id in {first, second}]
    assert others == [ApprovedIn(here.session_id, "Desk", "Linux", "Firefox 145", is_over=False)] * 2
    assert (page.browser_count, page.app_count) == (1, 3)
    assert (page.next_browsers, page.next_apps, page.next_ended) == (None, None, None)


def test_the_latest_use_by_any_application_is_the_sessions_and_a_later_page_counts_too(heart: Heart) -> None:
    person, zebra, ant = heart.person(), heart.client(name="Zebra"), heart.client(name="Ant")
    used, too, idle = (heart.sign_in(person) for _ in range(3))
    both, others = ([heart.tokens_for(one, client) for client in (zebra, ant)] for one in (used, too))
    heart.tokens_for(idle, ant)
    heart.clock.advance(minutes=20)
    heart.refresh(both[0], zebra)  # the last by name, and the first
    heart.refresh(others[1], ant)
    refreshed = heart.now
    heart.clock.advance(minutes=1)

    def latest() -> dict[str, Any]:
        return {row.session_id: row.last_active_at for row in listed(heart, person).browsers}

    in_use = {used.session_id: refreshed, too.session_id: refreshed}
    assert latest() == in_use | {idle.session_id: refreshed - timedelta(minutes=20)}
    with heart.database.transaction() as tx:
        sessions.touch(tx, session_id=idle.session_id, now=heart.now)
    assert latest() == in_use | {idle.session_id: heart.now}
    seen = shown(heart, person, used.session_id)
    assert seen is not None
    assert seen.last_active_at == refreshed


def test_an_app_is_listed_for_as_long_as_its_own_client_lets_it_live(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(hours=5))
    person = heart.person()
    browser = heart.sign_in(person)
    lives = {
        name: app_of(heart, browser, heart.client(name=name, app_idle_lifetime=idle), name)
        for name, idle in (("short", HOUR), ("long", 9 * HOUR), ("usual", None))
    }
    ids = {session_id: name for name, session_id in lives.items()}

    def live() -> tuple[set[str], int, set[str], set[str]]:
        page, whole = listed(heart, person), shown(heart, person, browser.session_id)
        assert whole is not None
        return (
            {ids[row.session_id] for row in page.apps},
            page.app_count,
            {ids[app.session_id] for app in whole.approved},
            {name for name, one in lives.items() if shown(heart, person, one) is not None},
        )

    assert live() == (set(lives), 3, set(lives), set(lives))
    heart.clock.advance(hours=1)
    assert live() == ({"long", "usual"}, 2, {"long", "usual"}, {"long", "usual"})
    heart.clock.advance(hours=4)
    assert live() == ({"long"}, 1, {"long"}, {"long"})


def test_what_ended_and_what_apps_there_are_comes_in_pages_too(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Tool")
    browser = heart.sign_in(person)
    apps, gone = [], []
    for number in range(5):
        heart.clock.advance(seconds=number % 2)  # some share a moment
        apps.append(app_of(heart, browser, client, str(number)))
        gone.append(heart.sign_in(person).session_id)
    heart.clock.advance(minutes=1)
    heart.change(heart.session(apps[0]), last_active_at=heart.now)  # the oldest, used last
    for number, later in ((2, 0), (4, 0), (1, 0), (0, 1), (3, 1)):
        heart.clock.advance(seconds=later)
        heart.end(person, gone[number])
    moments = {one: (heart.session(one).last_active_at, one) for one in apps}
    ends = {one: (heart.session(one).ended_at, one) for one in gone}

    first = listed(heart, person, page_size=3)
    second = listed(heart, person, page_size=3, apps_after=first.next_apps, ended_after=first.next_ended)

    assert first.next_apps is not None
    assert first.next_ended is not None
    assert (second.next_apps, second.next_ended) == (None, None)
    assert (len(first.apps), len(first.recently_ended)) == (3, 3)
    seen = [row.session_id for row in (*first.apps, *second.apps)]
    assert seen == sorted(apps, key=moments.__getitem__, reverse=True)
    remains = [row.session_id for row in (*first.recently_ended, *second.recently_ended)]
    assert remains == sorted(gone, key=lambda one: ends[one], reverse=True)
    for whole in (listed(heart, person, page_size=5), listed(heart, person, page_size=6)):
        assert (whole.next_apps, whole.next_ended, len(whole.apps)) == (None, None, 5)


def test_an_ended_row_says_all_of_its_own_session(heart: Heart) -> None:
    person, tool = heart.person(), heart.client(name="Tool")
    browser = heart.sign_in(person)
    app = app_of(heart, browser, tool, "A")
    began = heart.now
    heart.clock.advance(minutes=3)
    heart.end(person, app, reason=EndReason.ENDED_BY_PERSON)
    stranger = heart.person()
    heart.end(stranger, heart.sign_in(stranger).session_id)

    assert listed(heart, person).recently_ended == [
        EndedRow(
            session_id=app,
            kind=SessionKind.APP,
            **machine("A"),
            client_name="Tool",
            started_at=began,
            last_active_at=began,
            ended_at=heart.now,
            reason=EndReason.ENDED_BY_PERSON,
        )
    ]


def test_a_live_session_says_all_of_itself_and_who_takes_part_in_the_order_of_names(heart: Heart) -> None:
    person = heart.person()
    wiki, news = heart.client(name="Wiki", backchannel_logout_uri=NOTICES), heart.client(name="News")
    twins = sorted([heart.client(name="Twin"), heart.client(name="Twin")], key=lambda client: client.id)
    browser = heart.sign_in(person)
    began = heart.now
    heart.tokens_for(browser, wiki)
    heart.clock.advance(minutes=1)
    for client in (*reversed(twins), news):
        heart.tokens_for(browser, client)
    heart.tokens_for(heart.sign_in(person), heart.client(name="Elsewhere"))
    left = heart.client(name="Left again")
    heart.tokens_for(browser, left)
    heart.end_part(person, browser, left)
    tool = app_of(heart, browser, wiki, "A")

    seen, approved = shown(heart, person, browser.session_id), shown(heart, person, tool)

    assert seen == LiveSession(
        session_id=browser.session_id,
        kind=SessionKind.BROWSER,
        **FIREFOX,
        client_name=None,
        started_at=began,
        last_active_at=heart.now,
        applications=(
            UsedApplication(news.id, "News", can_be_told=False, since=heart.now),
            *(UsedApplication(twin.id, "Twin", can_be_told=False, since=heart.now) for twin in twins),
            UsedApplication(wiki.id, "Wiki", can_be_told=True, since=began),
        ),
        approved_in=None,
        approved=(ApprovedApp(tool, "Wiki", "A device_name", "A os_name", "A label", heart.now, heart.now),),
    )
    assert approved == LiveSession(
        session_id=tool,
        kind=SessionKind.APP,
        **machine("A"),
        client_name="Wiki",
        started_at=heart.now,
        last_active_at=heart.now,
        applications=(UsedApplication(wiki.id, "Wiki", can_be_told=True, since=heart.now),),
        approved_in=ApprovedIn(browser.session_id, "", "Linux", "Firefox 145", is_over=False),
        approved=(),
    )


def test_no_more_than_so_many_applications_and_tools_are_named(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    person, client = heart.person(), heart.client(name="B")
    browser = heart.sign_in(person)
    for one in (client, heart.client(name="A")):
        heart.tokens_for(browser, one)
    older = app_of(heart, browser, client, "older")
    same = sorted(app_of(heart, browser, client, name) for name in ("x", "y"))
    heart.clock.advance(minutes=5)
    newest = app_of(heart, browser, client, "newest")
    heart.change(heart.session(older), last_active_at=heart.now - HOUR)
    app_of(heart, heart.sign_in(person), client, "of another browser")

    def named() -> tuple[list[str], list[str]]:
        seen = shown(heart, person, browser.session_id)
        assert seen is not None
        return [one.name for one in seen.applications], [one.session_id for one in seen.approved]

    assert named() == (["A", "B"], [newest, *reversed(same), older])
    monkeypatch.setattr(live_sessions, "MAXIMUM_APPLICATIONS", 1)
    monkeypatch.setattr(ended_sessions, "MAXIMUM_APPROVED", 2)
    assert named() == (["A"], [newest, same[1]])


def test_an_ended_session_says_all_of_itself_and_what_became_of_its_own_notices(heart: Heart) -> None:
    person, wiki, tool = heart.person(), heart.client(name="Wiki", backchannel_logout_uri=NOTICES), heart.client()
    gone, other = heart.sign_in(person), heart.sign_in(person)
    began = heart.now
    issued = heart.tokens_for(gone, wiki)
    heart.tokens_for(other, heart.client(name="Other"))
    left = app_of(heart, gone, tool, "left")
    heart.clock.advance(minutes=1)
    heart.withdraw(person, wiki)
    issued = heart.tokens_for(gone, wiki)
    assert remembered(heart, person, gone.session_id) is None

    ended = heart.end(person, gone.session_id, other.session_id)

    assert remembered(heart, person, gone.session_id) == EndedDetails(
        session_id=gone.session_id,
        kind=SessionKind.BROWSER,
        **FIREFOX,
        client_name=None,
        started_at=began,
        last_active_at=began,
        ended_at=heart.now,
        reason=EndReason.SIGNED_OUT,
        applications=(ReceiptApplication("Wiki", DeliveryState.PENDING, is_retrying=False, settled_at=None),),
        access_expires_at=issued.access_expires_at,
        event_id=ended.event_id,
        approved=(ApprovedApp(left, tool.name, "left device_name", "left os_name", "left label", began, began),),
    )


def test_an_ended_app_says_its_name_to_its_person_for_ninety_days(heart: Heart) -> None:
    person, tool = heart.person(), heart.client(name="Tool")
    app = app_of(heart, heart.sign_in(person), tool, "A")
    heart.end(person, app)

    seen = remembered(heart, person, app)

    assert seen is not None
    assert (seen.kind, seen.client_name, seen.approved) == (SessionKind.APP, "Tool", ())
    assert {field: getattr(seen, field) for field in machine("A")} == machine("A")
    assert remembered(heart, heart.person(), app) is None
    heart.clock.advance(days=90, microseconds=-1)
    assert remembered(heart, person, app) is not None
    heart.clock.advance(microseconds=1)
    assert remembered(heart, person, app) is None


def test_what_just_ended_is_called_by_its_own_names_and_knows_of_tools_that_go_on(heart: Heart) -> None:
    person, tool = heart.person(), heart.client(name="Tool")
    browser, other, brief = (heart.sign_in(person) for _ in range(3))
    app = app_of(heart, browser, tool, "laptop")
    app_of(heart, brief, heart.client(app_idle_lifetime=HOUR), "desk")
    heart.end(person, browser.session_id, other.session_id, brief.session_id)

    words = {field: text for field, text in FIREFOX.items() if field != "ip_address"}
    alone = EndedName(kind=SessionKind.BROWSER, **words, client_name=None, has_approved=False)
    assert named(heart, person, other.session_id) == alone
    assert named(heart, person, browser.session_id) == alone._replace(has_approved=True)
    assert named(heart, person, brief.session_id) == alone._replace(has_approved=True)
    assert named(heart, heart.person(), browser.session_id) is None
    heart.clock.advance(hours=1)  # for as long as its own client lets it live
    assert named(heart, person, browser.session_id) == alone._replace(has_approved=True)
    assert named(heart, person, brief.session_id) == alone
    heart.clock.advance(days=31)  # by time alone
    assert named(heart, person, browser.session_id) == alone
    heart.end(person, app)
    words = {field: text for field, text in machine("laptop").items() if field != "ip_address"}
    assert named(heart, person, app) == EndedName(SessionKind.APP, **words, client_name="Tool", has_approved=False)
