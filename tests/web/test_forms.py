"""Forms of ours, from our pages, in this browser: everything else is refused before a desk sees it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.pages import PASSWORD, Form, Site, Visitor


def sign_in_form(browser: Visitor) -> Form:
    form = browser.page("/login").form("/login")
    form.fields.update(username="ada", password=PASSWORD)
    return form


@pytest.mark.parametrize("token", [None, "", "x", "IjEi.ZZZ.ZZZ"])
def test_a_form_without_the_right_token_is_refused_and_the_repaired_one_is_taken(site: Site, token: str | None) -> None:
    site.person("ada")
    browser = site.visitor()
    form = sign_in_form(browser)
    right = form.fields.pop("csrf_token")

    changed: dict[str, Any] = {} if token is None else {"csrf_token": token}
    refused = browser.submit(form, **changed)

    assert refused.status_code == 400
    assert "This page is no longer valid" in refused.text
    assert browser.submit(form, csrf_token=right).status_code == 303


def test_a_token_of_another_browser_is_refused(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()

    refused = browser.submit(sign_in_form(browser), csrf_token=sign_in_form(site.visitor()).fields["csrf_token"])

    assert refused.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://[broken"},
    ],
)
def test_a_form_that_the_browser_says_another_site_sent_is_refused(site: Site, headers: dict[str, str]) -> None:
    site.person("ada")
    browser = site.visitor()

    assert browser.submit(sign_in_form(browser), headers=headers).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {"Origin": "http://LOCALHOST"},
        {},
    ],
)
def test_a_form_of_our_own_is_taken(site: Site, headers: dict[str, str]) -> None:
    site.person("ada")
    browser = site.visitor()

    assert browser.submit(sign_in_form(browser), headers=headers).status_code == 303


def test_a_page_left_open_over_night_still_works(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()
    form = sign_in_form(browser)

    site.heart.clock.advance(hours=20)

    assert browser.submit(form).status_code == 303


def test_the_cookies_are_locked_to_this_host(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="https://id.example.com")
    site.person("ada")
    browser = site.visitor()

    first = browser.get("/login").headers.getlist("Set-Cookie")
    form = browser.page("/login").form("/login")
    second = browser.submit(form, username="ada", password=PASSWORD).headers.getlist("Set-Cookie")

    for cookie in [*first, *second]:
        assert cookie.startswith("__Host-idp_")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    assert any(cookie.startswith("__Host-idp_session=") for cookie in second)


def test_a_cookie_signed_with_a_previous_secret_is_still_read(open_site: Callable[..., Site]) -> None:
    from idp.kit.keyring import Keyring
    from idp.kit.opaque import Secret

    before = open_site(issuer="http://localhost")
    browser = before.visitor()
    with browser.client.session_transaction() as cookie:
        cookie["browser"] = "remembered"
    value = browser.cookie("idp_browser")

    fresh = Secret("another secret for tests only, long enough too")
    before.heart.keyring = Keyring(fresh, [before.settings.known_secret])
    after = open_site(issuer="http://localhost", secret=fresh, secret_previous=(before.settings.known_secret,))
    other = after.visitor()
    other.client.set_cookie("idp_browser", value or "")

    with other.client.session_transaction() as cookie:
        assert cookie["browser"] == "remembered"
