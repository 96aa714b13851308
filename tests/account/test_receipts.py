"""The receipt of an act: the whole of it, in the person's own history, for 90 days, as a page and as JSON."""

import pytest
from sqlalchemy import insert, select, update

from idp.db.models import DeliveryState, LogoutDelivery, LogoutEvent, User
from idp.kit.identifiers import new_identifier, shard_key_in
from tests.support.pages import Site, Visitor

JSON = {"Accept": "application/json"}
TOLD = "https://app.example/out"


def end_everything(browser: Visitor) -> str:
    """Sign out everywhere; the address of the public receipt."""
    page = browser.page("/account/sessions/end-everywhere")
    return str(browser.submit(page.forms[-1], button="confirm-end").location)


def own_path(site: Site) -> str:
    (event,) = site.heart.all(LogoutEvent)
    return f"/account/receipts/{event.id}"


def settle(site: Site, state: DeliveryState) -> None:
    with site.heart.database.transaction() as tx:
        tx.execute(
            update(LogoutDelivery)
            .where(LogoutDelivery.state == DeliveryState.PENDING)
            .values(state=state, settled_at=site.heart.now)
        )


@pytest.fixture
def ended(site: Site) -> tuple[Site, Visitor, str]:
    """Three browsers and a tool are signed out everywhere; one application is told, the tool cannot be."""
    ada = site.person("ada")
    here = site.signed_in("ada")
    wiki = site.heart.client(name="Harbour Wiki", backchannel_logout_uri=TOLD)
    for _ in range(2):
        site.heart.tokens_for(site.heart.sign_in(ada), wiki)
    site.heart.tokens_for(site.heart.sign_in(ada), site.heart.client(name="Drydock CLI"), "openid offline_access")
    address = end_everything(here)
    return site, here, address


def test_one_line_per_application_and_state_however_many_sessions(ended: tuple[Site, Visitor, str]) -> None:
    _, here, address = ended

    text = here.page(address).text

    assert "Harbour Wiki in 2 sign-ins Being told" in text
    assert text.count("Harbour Wiki") == 1
    assert "Drydock CLI Cannot be told, will notice within 5 minutes" in text


def test_the_same_receipt_is_in_the_persons_history_on_any_device_for_90_days(
    ended: tuple[Site, Visitor, str],
) -> None:
    site, _, public = ended
    path = own_path(site)
    site.heart.clock.advance(days=89)
    other = site.signed_in("ada")

    page = other.page(path)

    assert "You signed out everywhere" in page.text
    assert "Harbour Wiki in 2 sign-ins Being told" in page.text
    assert other.get(public).status_code == 404
    site.heart.clock.advance(days=1)
    later = site.signed_in("ada")
    assert later.get(path).status_code == 404


def test_nobody_else_finds_it_and_nobody_without_a_session(ended: tuple[Site, Visitor, str]) -> None:
    site, here, _ = ended
    path = own_path(site)
    site.person("bob")
    theirs = site.signed_in("bob")

    unknown = theirs.get("/account/receipts/" + "0" * 26)

    assert theirs.get(path).status_code == unknown.status_code == 404
    assert here.get(path).location.startswith("/login?next=")
    assert theirs.get(path, **JSON).status_code == 404


def test_as_json_it_says_what_the_page_says(ended: tuple[Site, Visitor, str]) -> None:
    site, here, address = ended
    expected = {
        "reason": "signed_out_everywhere",
        "occurred_at": "2026-11-21T09:30:00Z",
        "browsers": 4,
        "apps": 1,
        "applications": [
            {"name": "Drydock CLI", "state": "cannot_be_told", "at": "2026-11-21T09:30:00Z", "sessions": 1},
            {"name": "Harbour Wiki", "state": "being_told", "at": None, "sessions": 2},
        ],
        "pending": 2,
        "access_expires_at": "2026-11-21T09:35:00Z",
        "is_over": False,
    }

    answer = here.get(address, **JSON)

    assert answer.get_json() == expected
    assert "Accept" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    site.heart.clock.advance(minutes=5)
    settle(site, DeliveryState.TOLD)
    after = here.get(address, **JSON).get_json()
    assert (after["pending"], after["is_over"]) == (0, True)
    assert after["applications"][1] == {
        "name": "Harbour Wiki",
        "state": "told",
        "at": "2026-11-21T09:35:00Z",
        "sessions": 2,
    }
    owner = site.signed_in("ada").get(own_path(site), **JSON).get_json()
    assert owner == after


def test_elsewhere_it_says_nothing_personal_neither_as_page_nor_as_json(ended: tuple[Site, Visitor, str]) -> None:
    site, _, address = ended
    stranger = site.visitor(address="198.51.100.1")

    page, data = stranger.get(address), stranger.get(address, **JSON)

    for word in ("Harbour", "Drydock", "ada", "192.0.2.7", "Firefox"):
        assert word not in page.text
        assert word not in data.text
    assert [sorted(one) for one in data.get_json()["applications"]] == [["at", "sessions", "state"]] * 2


def test_an_address_that_is_no_receipt_is_404_as_json_too(site: Site) -> None:
    answer = site.visitor().get("/signed-out/nonsense", **JSON)

    assert (answer.status_code, answer.get_json()["error"]) == (404, "not_found")


@pytest.mark.parametrize("accept", ["text/html", "*/*", "", "text/html,application/json;q=0.9", "image/png"])
def test_browsers_get_the_page(ended: tuple[Site, Visitor, str], accept: str) -> None:
    _, here, address = ended

    assert here.get(address, Accept=accept).mimetype == "text/html"


def test_the_page_asks_again_by_itself_without_a_script_until_all_is_settled(ended: tuple[Site, Visitor, str]) -> None:
    site, here, address = ended
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'

    assert refresh in here.get(address).text
    settle(site, DeliveryState.GAVE_UP)
    done = here.get(address).text

    assert refresh not in done
    assert "Failed: it could not be told" in done


def test_the_moment_of_the_last_access_is_there_in_plain_words_and_for_the_countdown(
    ended: tuple[Site, Visitor, str],
) -> None:
    site, here, address = ended

    before = here.get(address).text
    site.heart.clock.advance(minutes=5)
    after = here.get(address).text

    assert 'data-until="2026-11-21T09:35:00Z"' in before
    assert "stops at the latest at" in before
    assert "data-until" not in after
    assert "Nothing of it works any more." in after


def test_a_thousand_sessions_make_a_short_receipt_that_still_counts_all_that_is_pending(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    clients = [site.heart.client(name=f"App {number:02}", backchannel_logout_uri=TOLD) for number in range(3)]
    browser = site.heart.sign_in(ada)
    for client in clients:
        site.heart.tokens_for(browser, client)
    address = end_everything(here)

    data = here.get(address, **JSON).get_json()

    assert data["pending"] == 3
    assert [one["name"] for one in data["applications"]] == ["App 00", "App 01", "App 02"]


def test_an_ended_session_leads_to_everything_that_ended_with_it(ended: tuple[Site, Visitor, str]) -> None:
    site, _, _ = ended
    (event,) = site.heart.all(LogoutEvent)
    here = site.signed_in("ada")
    details = next(link for name, link in here.page("/account/sessions").links.items() if name.startswith("Details"))

    assert here.page(details).links["Everything that ended with it"] == f"/account/receipts/{event.id}"


def end_a_browser_with(site: Site, person: User, applications: int) -> str:
    """A browser of a person, signed out; so many applications took part in it."""
    session = site.heart.sign_in(person)
    site.heart.tokens_for(session, site.heart.client(name="App", backchannel_logout_uri=TOLD))
    site.heart.end(person, session.session_id)
    with site.heart.database.transaction() as tx:
        (first,) = tx.execute(select(LogoutDelivery.__table__)).mappings()
        more = [
            {**first, "id": new_identifier(shard_key_in(person.id), site.heart.now), "client_name": f"App {number:03}"}
            for number in range(1, applications)
        ]
        tx.execute(insert(LogoutDelivery), more)
    return f"/account/sessions/{session.session_id}"


def test_the_page_of_an_ended_session_names_two_hundred_applications_and_counts_the_rest(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")

    text = here.page(end_a_browser_with(site, ada, 203)).text

    assert text.count("Being told") == 200
    assert "And 3 applications more." in text
