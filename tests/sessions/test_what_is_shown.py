"""One session as its page shows it, and the question before an application is taken its access."""

from typing import Any

from idp import sessions
from idp.db.models import AuditEvent, User
from idp.sessions import LiveSession
from idp.sessions.live import MAXIMUM_LABEL
from tests.support.heart import Heart

OFFLINE = "openid offline_access"


def shown(heart: Heart, user_id: str, session_id: str) -> LiveSession | None:
    with heart.database.reading() as tx:
        return sessions.find_live_session(
            tx, user_id=user_id, session_id=session_id, now=heart.now, policy=heart.policy
        )


def test_an_app_is_shown_with_its_name_its_last_use_and_the_browser_that_approved_it(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Harbour Tool", backchannel_logout_uri="https://app.example/out")
    browser = heart.sign_in(person)
    app = heart.tokens_for(browser, client, OFFLINE)
    began = heart.now
    heart.clock.advance(minutes=20)
    heart.refresh(app, client)
    assert app.session_id is not None

    seen = shown(heart, person.id, app.session_id)

    assert seen is not None
    assert (seen.client_name, seen.started_at, seen.last_active_at) == ("Harbour Tool", began, heart.now)
    assert [(used.client_id, used.name, used.can_be_told, used.since) for used in seen.applications] == [
        (client.id, "Harbour Tool", True, began)
    ]
    assert seen.approved_in is not None
    assert (seen.approved_in.session_id, seen.approved_in.is_over) == (browser.session_id, False)
    assert (seen.approved_in.os_name, seen.approved_in.agent_name) == ("Linux", "Firefox 145")
    assert seen.approved == ()


def test_a_browser_is_shown_with_the_apps_that_it_approved_and_no_application_of_its_own(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Harbour Tool")
    browser = heart.sign_in(person)
    app = heart.tokens_for(browser, client, OFFLINE)

    seen = shown(heart, person.id, browser.session_id)

    assert seen is not None
    assert (seen.client_name, seen.approved_in, seen.applications) == (None, None, ())
    assert [approved.session_id for approved in seen.approved] == [app.session_id]
    assert (seen.os_name, seen.agent_name, seen.ip_address) == ("Linux", "Firefox 145", "192.0.2.7")


def test_the_browser_of_an_app_is_over_once_it_ended_and_the_app_goes_on(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    app = heart.tokens_for(browser, client, OFFLINE)
    heart.end(person, browser.session_id)
    assert app.session_id is not None

    seen = shown(heart, person.id, app.session_id)

    assert seen is not None
    assert seen.approved_in is not None
    assert seen.approved_in.is_over
    assert shown(heart, person.id, browser.session_id) is None
    assert shown(heart, heart.person().id, app.session_id) is None


def test_an_application_has_access_where_it_takes_part_still_and_where_it_is_an_app_of_its_own(heart: Heart) -> None:
    person, client = heart.person(), heart.client(name="Wiki", backchannel_logout_uri="https://app.example/out")
    here, there = heart.sign_in(person), heart.sign_in(person)
    heart.tokens_for(here, client)
    heart.tokens_for(there, client)
    heart.tokens_for(there, client, OFFLINE)
    heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.tokens_for(heart.sign_in(person), heart.client())
    given: dict[str, Any] = {"user_id": person.id, "client_id": client.id, "now": heart.now}
    heart.end_part(person, here, client)

    with heart.database.reading() as tx:
        preview = sessions.preview_end_client(tx, **given, policy=heart.policy)

    assert (preview.browsers, preview.apps) == (1, 1)
    [application] = preview.applications
    assert (application.name, application.can_be_told) == ("Wiki", True)


def test_an_app_that_ended_has_no_access_any_more(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    app = heart.tokens_for(heart.sign_in(person), client, OFFLINE)
    assert app.session_id is not None
    heart.end(person, app.session_id)

    with heart.database.reading() as tx:
        preview = sessions.preview_end_client(
            tx, user_id=person.id, client_id=client.id, now=heart.now, policy=heart.policy
        )

    assert (preview.browsers, preview.apps) == (0, 0)


def test_only_a_live_app_of_ones_own_gets_a_name(heart: Heart) -> None:
    person, stranger, client = heart.person(), heart.person(), heart.client()
    browser = heart.sign_in(person)
    live, ended = (heart.tokens_for(browser, client, OFFLINE).session_id for _ in range(2))
    assert live is not None
    assert ended is not None
    heart.end(person, ended)

    def rename(user_id: str, session_id: str, label: str = "Ada's tool") -> bool:
        with heart.database.transaction() as tx:
            return sessions.rename_session(tx, user_id=user_id, session_id=session_id, label=label, now=heart.now)

    assert rename(person.id, live, "x" * MAXIMUM_LABEL)
    assert rename(person.id, live)
    assert not rename(stranger.id, live, "Mine")
    assert not rename(person.id, ended)
    assert not rename(person.id, browser.session_id)
    assert [heart.session(one).label for one in (live, ended, browser.session_id)] == ["Ada's tool", "", ""]
    *_, event = heart.all(AuditEvent, AuditEvent.kind == "session_renamed")
    assert (event.user_id, event.session_id, event.actor) == (person.id, live, "person")
    assert event.details == {"label": "Ada's tool"}


def test_only_people_whose_access_an_application_holds_are_counted(heart: Heart) -> None:
    client, other = heart.client(), heart.client()
    holder, half_way, elsewhere, gone = (heart.sign_in(heart.person()) for _ in range(4))
    heart.tokens_for(holder, client)
    heart.tokens_for(holder, client)
    heart.code(half_way, client)
    heart.tokens_for(elsewhere, other)
    heart.tokens_for(gone, client)
    heart.end(User(id=heart.session(gone.session_id).user_id), gone.session_id)

    with heart.database.reading() as tx:
        assert sessions.count_people_of_client(tx, client_id=client.id, now=heart.now) == 2
