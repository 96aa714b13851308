"""The page "Applications with access": consents in words, and withdrawing them."""

from idp.clients import grant_consent
from idp.db.models import Client, EndReason, SessionClient, User
from tests.support.pages import Site
from tests.support.statements import statements_of


def allow(site: Site, person: User, client: Client, *scopes: str) -> None:
    with site.heart.database.transaction() as tx:
        grant_consent(tx, user_id=person.id, client_id=client.id, scopes=scopes, now=site.heart.now)


def test_each_consent_says_in_words_what_was_allowed_and_since_when(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    allow(site, ada, site.heart.client(name="Harbour Wiki"), "openid", "email", "offline_access")

    text = here.page("/account/applications").text

    assert "Harbour Wiki Allowed since 21 Nov 2026" in text
    assert "Know who you are See your e-mail address Keep access while you are away" in text


def test_without_consents_the_page_says_so(site: Site) -> None:
    site.person("ada")

    assert "No application has access" in site.signed_in("ada").page("/account/applications").text


def test_withdrawing_ends_what_the_application_holds_and_nothing_else(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    browser = site.heart.sign_in(ada)
    wiki, notes = site.heart.client(name="Harbour Wiki"), site.heart.client(name="Notes")
    for client in (wiki, notes):
        allow(site, ada, client, "openid", "offline_access")
    in_browser = site.heart.tokens_for(browser, wiki)
    app = site.heart.tokens_for(browser, wiki, "openid offline_access")
    other = site.heart.tokens_for(browser, notes, "openid offline_access")
    form = here.page("/account/applications").forms
    wiki_form = next(form for form in form if form.fields.get("client_id") == wiki.id)

    answer = here.submit(wiki_form)

    assert answer.location == "/account/applications"
    text = here.page("/account/applications").text
    assert "Harbour Wiki has no access any more." in text
    assert "Notes Allowed since" in text
    assert site.heart.session(app.session_id or "").end_reason == EndReason.CONSENT_WITHDRAWN
    assert site.heart.session(browser.session_id).ended_at is None
    participations = site.heart.all(SessionClient, SessionClient.client_id == wiki.id)
    assert all(row.ended_at for row in participations)
    assert getattr(site.heart.refresh(app, wiki), "error", None) == "invalid_grant"
    assert not hasattr(site.heart.refresh(other, notes), "error")
    assert in_browser.session_id == browser.session_id


def test_withdrawing_locks_the_person_before_the_consent(site: Site) -> None:
    """As deleting the account does: in the other order the two would wait for each other (ADR 0005)."""
    ada = site.person("ada")
    here = site.signed_in("ada")
    allow(site, ada, site.heart.client(), "openid")
    form = here.page("/account/applications").form("/account/applications/withdraw")

    with statements_of(site.engine) as sent:
        here.submit(form)

    (person, *_), (consent, *_) = (
        [place for place, statement in enumerate(sent) if statement.startswith(beginning)]
        for beginning in ("SELECT users.id", "UPDATE consents")
    )
    assert person < consent


def test_withdrawing_twice_or_from_a_stranger_does_nothing_more(site: Site) -> None:
    ada, bob = site.person("ada"), site.person("bob")
    here = site.signed_in("ada")
    wiki = site.heart.client(name="Harbour Wiki")
    allow(site, ada, wiki, "openid")
    allow(site, bob, wiki, "openid")
    form = here.page("/account/applications").form("/account/applications/withdraw")

    here.submit(form)
    here.submit(form)
    unknown = here.submit(form, client_id="no such client")

    assert unknown.status_code == 303
    assert "had no access any more" in here.page("/account/applications").text
    assert "Harbour Wiki" in site.signed_in("bob").page("/account/applications").text


def test_withdrawing_needs_one_application_and_our_form(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    wiki = site.heart.client(name="Harbour Wiki")
    allow(site, ada, wiki, "openid")
    form = here.page("/account/applications").form("/account/applications/withdraw")

    assert here.submit(form, client_id=[wiki.id, wiki.id]).status_code == 400
    assert here.submit(form, csrf_token="x").status_code == 400
    assert "Harbour Wiki Allowed since" in here.page("/account/applications").text
