"""/account/receipts: every sign-out of 90 days in a line, and the ways to it. Nothing of other people."""

from datetime import timedelta

from sqlalchemy import insert, update

from idp.db.models import DeliveryState, LogoutDelivery, LogoutEvent, User
from idp.kit.identifiers import new_identifier, shard_key_in
from tests.support.pages import Site, Visitor
from tests.support.statements import statements_of

TOLD = "https://app.example/out"


def end_everything(browser: Visitor) -> None:
    page = browser.page("/account/sessions/end-everywhere")
    assert browser.submit(page.forms[-1], button="confirm-end").status_code == 303


def settle(site: Site, state: DeliveryState, name: str) -> None:
    with site.heart.database.transaction() as tx:
        tx.execute(
            update(LogoutDelivery)
            .where(LogoutDelivery.client_name == name)
            .values(state=state, settled_at=site.heart.now)
        )


def past_events(site: Site, person: User, count: int) -> None:
    moments = [site.heart.now - timedelta(minutes=number) for number in range(count)]
    rows = [
        {
            "id": new_identifier(shard_key_in(person.id), moment),
            "user_id": person.id,
            "reason": "signed_out_everywhere",
            "browsers_ended": 2,
            "apps_ended": 0,
            "occurred_at": moment,
        }
        for moment in moments
    ]
    with site.heart.database.transaction() as tx:
        tx.execute(insert(LogoutEvent), rows)


def test_before_anything_ended_the_page_says_what_will_be_here(site: Site) -> None:
    site.person("ada")

    page = site.signed_in("ada").page("/account/receipts")

    assert "Nothing was signed out yet" in page.text
    assert page.links["Where you are signed in now"] == "/account/sessions"


def test_each_sign_out_says_what_why_when_and_who_was_told_and_leads_to_its_receipt(site: Site) -> None:
    ada = site.person("ada")
    clients = [site.heart.client(name=f"App {number}", backchannel_logout_uri=TOLD) for number in range(4)]
    clients.append(site.heart.client(name="Deaf"))
    browser = site.heart.sign_in(ada)
    for client in clients:
        site.heart.tokens_for(browser, client)
    end_everything(site.signed_in("ada"))
    for number, state in enumerate((DeliveryState.TOLD, DeliveryState.TOLD, DeliveryState.GAVE_UP)):
        settle(site, state, f"App {number}")
    [event] = site.heart.all(LogoutEvent)

    page = site.signed_in("ada").page("/account/receipts")

    assert "2 browsers were signed out You signed out everywhere 21 Nov 2026, 09:30:00 UTC" in page.text
    assert "2 applications told" in page.text
    assert "1 application being told" in page.text
    assert "1 application could not be told" in page.text
    assert "1 application will notice by itself" in page.text
    assert "Last access stops at 09:35:00 UTC" in page.text
    [receipt] = [url for name, url in page.links.items() if name.startswith("Receipt")]
    assert receipt == f"/account/receipts/{event.id}"
    site.heart.clock.advance(minutes=5)
    assert "Last access stops" not in site.signed_in("ada").page("/account/receipts").text


def test_one_application_with_many_notices_is_one_and_told_only_when_all_are(site: Site) -> None:
    ada = site.person("ada")
    wiki = site.heart.client(name="Harbour Wiki", backchannel_logout_uri=TOLD)
    for _ in range(2):
        site.heart.tokens_for(site.heart.sign_in(ada), wiki)
    end_everything(site.signed_in("ada"))
    with site.heart.database.transaction() as tx:
        first = site.heart.all(LogoutDelivery)[0]
        tx.execute(
            update(LogoutDelivery)
            .where(LogoutDelivery.id == first.id)
            .values(state=DeliveryState.TOLD, settled_at=site.heart.now)
        )

    assert "Harbour Wiki being told" in site.signed_in("ada").page("/account/receipts").text
    settle(site, DeliveryState.TOLD, "Harbour Wiki")
    assert "Harbour Wiki told" in site.signed_in("ada").page("/account/receipts").text


def test_a_single_session_is_called_by_its_name_with_how_long_it_lay_unused(site: Site) -> None:
    ada = site.person("ada")
    ended = site.heart.sign_in(ada)
    site.heart.clock.advance(hours=25)
    site.heart.sweep()
    here = site.signed_in("ada")

    text = here.page("/account/receipts").text
    own = here.page(f"/account/sessions/{ended.session_id}").text

    assert "Firefox 145 on Linux was signed out It was not used for 25 hours" in text
    assert "No application had to be told" in text
    assert "It was not used for 25 hours." in own


def test_an_applications_part_that_ended_is_called_by_the_applications_name(site: Site) -> None:
    ada = site.person("ada")
    wiki = site.heart.client(name="Harbour Wiki", backchannel_logout_uri=TOLD)
    here = site.signed_in("ada")
    browser = site.heart.sign_in(ada)
    site.heart.tokens_for(browser, wiki)
    token = here.page("/account/sessions").forms[0].fields["csrf_token"]
    here.client.post(
        f"/account/sessions/{browser.session_id}/end-application", data={"client_id": wiki.id, "csrf_token": token}
    )

    assert "Harbour Wiki was signed out of your browser sessions" in here.page("/account/receipts").text


def test_nobody_elses_is_shown_and_nothing_older_than_90_days(site: Site) -> None:
    ada, eve = site.person("ada"), site.person("eve")
    past_events(site, eve, 3)
    past_events(site, ada, 1)
    site.heart.clock.advance(days=90)

    text = site.signed_in("ada").page("/account/receipts").text

    assert "Nothing was signed out yet" in text


def test_many_are_paged_without_losing_or_repeating_one_at_the_same_price(site: Site) -> None:
    ada = site.person("ada")
    past_events(site, ada, 60)
    here = site.signed_in("ada")
    seen: list[str] = []
    path = "/account/receipts"
    page = here.page(path)
    while path:
        with statements_of(site.engine) as statements:
            page = here.page(path)
        assert len(statements) <= 4, statements
        seen += [url for name, url in page.links.items() if name.startswith("Receipt")]
        path = page.links.get("Show older", "")

    assert len(seen) == len(set(seen)) == 60
    assert "Back to the newest" in page.links


def test_a_place_that_nobody_wrote_is_the_first_page(site: Site) -> None:
    ada = site.person("ada")
    past_events(site, ada, 1)
    here = site.signed_in("ada")

    for place in ("x", "é", "MTIz", "a" * 5000):
        assert "2 browsers were signed out" in here.page(f"/account/receipts?after={place}").text


def test_the_history_leads_to_the_receipt_of_what_ended_several_sessions(site: Site) -> None:
    ada = site.person("ada")
    site.heart.sign_in(ada)
    end_everything(site.signed_in("ada"))
    [event] = site.heart.all(LogoutEvent)

    page = site.signed_in("ada").page("/account/activity")

    [details] = [url for name, url in page.links.items() if name.startswith("Details")]
    assert details == f"/account/receipts/{event.id}"
    assert page.links["Sign-outs"] == "/account/receipts"
