"""Where a sign-in leads: our own pages and waiting requests of this browser, and nowhere else."""

import pytest

from idp.db.models import Client, StoredRequestKind
from idp.web import stored_requests
from idp.web.paths import find_own_path
from tests.support.heart import REDIRECT
from tests.support.pages import Page, Site, Visitor


def wait_for(site: Site, browser: Visitor, client: Client, **parameters: str) -> str:
    """Store an authorization request of this browser, as the authorization endpoint does."""
    with browser.client.session_transaction() as cookie:
        binding = cookie.setdefault("browser", "the binding of this browser")
    with site.heart.database.transaction() as tx:
        return stored_requests.store(
            tx,
            kind=StoredRequestKind.AUTHORIZE,
            client_id=client.id,
            parameters={"redirect_uri": REDIRECT, **parameters},
            browser=binding,
            now=site.heart.now,
            settings=site.settings,
        )


@pytest.mark.parametrize(
    "path",
    ["/account/sessions", "/account/sessions?browsers=abc", "/oauth2/authorize?request=x", "/", "/a:b@c"],
)
def test_a_path_of_ours_is_a_destination(site: Site, path: str) -> None:
    site.person("ada")
    browser = site.visitor()
    form = Page(browser.client.get("/login", query_string={"next": path}).text).form("/login")

    answer = browser.submit(form, username="ada", password="correct horse battery staple")

    assert answer.location == path


@pytest.mark.spec("RFC 9700", "4.11")
@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\tevil", "/\n/evil.example",
        "javascript:alert(1)", "account", "", " /account", "/account#x", "/a\\..\\b", "/../x", "/a/%2e%2e/b", "/é",
        "///evil", "/account\x00", "/" + "a" * 3000, "/login", "/login?next=/login",
    ],
)  # fmt: skip
def test_anything_else_leads_to_the_account_or_is_refused(site: Site, path: str) -> None:
    site.person("ada")
    browser = site.visitor()
    answer = browser.client.get("/login", query_string={"next": path})
    if answer.status_code == 400:
        return  # undecodable for everybody
    form = Page(answer.text).form("/login")

    answer = browser.submit(form, username="ada", password="correct horse battery staple")

    assert answer.location == "/account"


def test_below_an_issuer_with_a_path_only_that_path_is_ours() -> None:
    assert find_own_path("/idp/account", issuer_path="/idp") == "/idp/account"
    assert find_own_path("/idp", issuer_path="/idp") == "/idp"
    assert find_own_path("/wiki", issuer_path="/idp") is None
    assert find_own_path("/idpx/account", issuer_path="/idp") is None
    assert find_own_path("/idp/../wiki", issuer_path="/idp") is None


def test_for_an_application_the_page_shows_who_it_is_and_leads_back_to_its_request(site: Site) -> None:
    site.person("ada")
    client = site.heart.client(
        name="Harbour Wiki",
        logo_uri="https://app.example/logo.png",
        policy_uri="https://app.example/policy",
        tos_uri="https://app.example/terms",
    )
    browser = site.visitor()
    handle = wait_for(site, browser, client, login_hint="ada@example.com")

    answer = browser.get(f"/login?request={handle}")
    page = Page(answer.text)

    assert "Harbour Wiki" in page.text
    assert page.images == ["https://app.example/logo.png"]
    assert page.links["Privacy policy"] == "https://app.example/policy"
    assert page.links["Terms of service"] == "https://app.example/terms"
    assert page.form("/login").fields["username"] == "ada@example.com"
    policy = answer.headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example;" in policy
    assert "img-src 'self' https://app.example;" in policy
    signed_in = browser.sign_in("ada", path=f"/login?request={handle}")
    assert signed_in.location == f"/oauth2/authorize?request={handle}"


def test_a_signed_in_person_is_asked_again_only_for_a_request_newer_than_the_sign_in(site: Site) -> None:
    site.person("ada")
    client = site.heart.client()
    browser = site.signed_in("ada")
    older = wait_for(site, browser, client)
    site.heart.clock.advance(seconds=5)
    newer = wait_for(site, browser, client)
    assert browser.get(f"/login?request={older}").status_code == 303

    page = browser.page(f"/login?request={newer}")
    assert "Please sign in again to continue." in page.text
    assert browser.sign_in("ada", path=f"/login?request={newer}").location == f"/oauth2/authorize?request={newer}"
    assert browser.get(f"/login?request={newer}").status_code == 303


def test_a_request_of_another_browser_is_no_reason_to_sign_in(site: Site) -> None:
    client = site.heart.client()
    handle = wait_for(site, site.visitor(), client)

    answer = site.visitor().get(f"/login?request={handle}")

    assert answer.status_code == 400
    assert "This sign-in is over" in answer.text


@pytest.mark.parametrize("handle", ["x", "", "0" * 26 + "." + "A" * 22])
def test_a_request_that_never_was_is_refused_with_words(site: Site, handle: str) -> None:
    assert site.visitor().get(f"/login?request={handle}").status_code == 400


def test_a_request_that_is_too_old_is_refused_with_words(site: Site) -> None:
    browser = site.visitor()
    handle = wait_for(site, browser, site.heart.client())

    site.heart.clock.advance(hours=1, seconds=1)

    assert browser.get(f"/login?request={handle}").status_code == 400


def test_whoever_is_signed_in_already_is_sent_on(site: Site) -> None:
    site.person("ada")
    browser = site.signed_in("ada")

    assert browser.get("/login?next=/account/applications").location == "/account/applications"
    assert browser.page("/login?switch=yes").form("/login").fields["username"] == ""
