"""The demo application: signing in with every check, signing out from both sides, and trouble at the provider."""

from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from examples.relying_party.app import create_app
from examples.relying_party.configuration import Configuration, ConfigurationError
from tests.examples.rp_browser import CLIENT_ID, COOKIE, Browser

# ── Signing in ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("OIDC Core", "3.1.2.1")
def test_the_request_to_the_provider_has_state_nonce_and_pkce(browser):
    sent = parse_qs(urlsplit(browser.get("/sign-in").location).query)

    assert sent["code_challenge_method"] == ["S256"]
    assert all(len(sent[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))
    assert sent["redirect_uri"] == ["http://127.0.0.1:9001/callback"]
    assert "openid" in sent["scope"][0].split()


def test_after_signing_in_the_page_says_who_one_is(browser):
    assert browser.state() == "You are not signed in."

    browser.sign_in()

    assert browser.state() == "You are signed in."
    assert "Hello, Ada &lt;Lovelace&gt;" in browser.get("/").text
    assert browser.get("/status").json == {"signed_in": True}


@pytest.mark.spec("OIDC Core", "5.3.2")
def test_details_about_somebody_else_are_not_used(browser, provider):
    provider.profile = {"sub": "somebody-else", "name": "Mallory"}

    browser.sign_in()

    assert browser.state() == "You are signed in."
    assert "Hello, person-1" in browser.get("/").text
    assert "Mallory" not in browser.get("/").text


@pytest.mark.parametrize("profile", [None, [], ["a"], "text", {"sub": 7}])
def test_without_details_one_is_signed_in_all_the_same(browser, provider, profile):
    provider.profile = profile

    browser.sign_in()

    assert "Hello, person-1" in browser.get("/").text


@pytest.mark.parametrize("missing", ["userinfo_endpoint", "end_session_endpoint"])
def test_a_provider_that_offers_less_is_enough_to_sign_in_and_out(browser, provider, missing):
    provider.metadata_changes = {missing: None}

    browser.sign_in()

    assert browser.press("/details").status_code in {200, 502}
    assert browser.press("/sign-out").status_code in {200, 302}
    assert browser.state() != "You are signed in."


def test_the_session_cookie_is_ours_alone(browser):
    header = next(value for value in browser.sign_in().headers.getlist("Set-Cookie") if value.startswith(f"{COOKIE}="))

    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Secure" not in header
    assert browser.client.get_cookie("session") is None


def test_behind_https_the_cookie_is_secure(environment, clock):
    app = create_app(Configuration.from_environment(environment | {"RP_BASE_URL": "https://rp.example"}), clock=clock)
    client = app.test_client()
    away = client.get("/sign-in", base_url="https://rp.example")
    back = requests.get(away.location, allow_redirects=False, timeout=5).headers["Location"]

    answer = client.get(back, base_url="https://rp.example")

    assert any(v.startswith(COOKIE) and "Secure" in v for v in answer.headers.getlist("Set-Cookie"))


def test_an_answer_works_once(browser):
    callback = browser.go_to_provider()
    assert browser.get(callback).status_code == 303

    again = browser.get(callback)

    assert again.status_code == 400
    assert "start again" in again.text


@pytest.mark.spec("RFC 6749", "10.12")
def test_an_answer_for_another_browser_is_refused_before_the_code_is_used(app, browser, provider):
    refused = Browser(app).get(browser.go_to_provider())

    assert refused.status_code == 400
    assert "/oauth2/token" not in provider.requests


@pytest.mark.spec("RFC 9207", "2.4")
@pytest.mark.parametrize("issuer", ["https://other.example", "", None])
def test_an_answer_from_another_issuer_is_refused_before_the_code_is_sent_anywhere(browser, provider, issuer):
    provider.authorization_answer = {"iss": issuer}

    refused = browser.get(browser.go_to_provider())

    assert refused.status_code == 502
    assert "/oauth2/token" not in provider.requests
    assert browser.state() == "You are not signed in."


def test_a_refusal_at_the_provider_is_said_plainly(browser, provider):
    provider.authorization_answer = {"error": "access_denied", "code": None}

    refused = browser.get(browser.go_to_provider())

    assert refused.status_code == 403
    assert "cancelled" in refused.text


@pytest.mark.spec("OIDC Core", "3.1.3.7")
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda claims: claims | {"iss": "https://other.example"}, id="issuer"),
        pytest.param(lambda claims: claims | {"aud": "another-client"}, id="audience"),
        pytest.param(lambda claims: claims | {"aud": "another-client", "azp": CLIENT_ID}, id="authorized party only"),
        pytest.param(lambda claims: claims | {"nonce": "another"}, id="nonce"),
        pytest.param(lambda claims: {name: value for name, value in claims.items() if name != "nonce"}, id="no nonce"),
        pytest.param(lambda claims: claims | {"exp": claims["iat"] - 600}, id="expired"),
    ],
)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(browser, provider, spoil):
    sign = provider.sign
    provider.sign = lambda claims, **options: sign(spoil(claims), **options)

    refused = browser.get(browser.go_to_provider())

    assert refused.status_code == 502
    assert browser.state() == "You are not signed in."


def test_an_id_token_under_a_foreign_key_is_refused_and_one_under_a_new_key_is_taken(browser, provider):
    browser.sign_in()
    published, provider.keys = provider.keys, []
    provider.rotate_keys()
    foreign, provider.keys = provider.keys[-1], published
    sign = provider.sign
    provider.sign = lambda claims, **options: sign(claims, key=foreign, **options)
    assert browser.get(browser.go_to_provider()).status_code == 502

    provider.sign = sign
    provider.keys = [*published]
    provider.rotate_keys()

    assert browser.get(browser.go_to_provider()).status_code == 303


@pytest.mark.spec("OIDC Discovery", "4.3")
def test_metadata_of_another_issuer_is_refused(browser, provider):
    provider.metadata_changes = {"issuer": "https://other.example"}

    assert browser.get("/sign-in").status_code == 502


def test_a_provider_that_is_down_is_said_plainly(browser, provider):
    provider.is_down = True

    answer = browser.get("/sign-in")

    assert answer.status_code == 502
    assert "reached" in answer.text

    provider.is_down = False
    browser.sign_in()


def test_a_restart_keeps_people_signed_in(environment, clock, app, browser):
    browser.sign_in()
    restarted = Browser(create_app(Configuration.from_environment(environment), clock=clock))
    restarted.client.set_cookie(COOKIE, browser.handle)

    assert restarted.state() == "You are signed in."


def test_a_session_here_ends_by_itself_after_twelve_hours(browser, clock):
    browser.sign_in()

    clock.passed = 12 * 3600 + 1

    assert "sign in again" in browser.state()


# ── Using the tokens ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_provider_can_be_asked_about_the_person(browser):
    browser.sign_in()

    assert "ada@example.com" in browser.press("/details").text


def test_a_dead_access_token_is_said_plainly(browser, provider):
    browser.sign_in()
    provider.end(provider.families[0])

    assert "no longer good" in browser.press("/details").text


def test_tokens_are_refreshed_and_the_new_refresh_token_is_kept(browser, provider):
    browser.sign_in()
    for _ in range(3):
        assert "new access token" in browser.press("/refresh").text
        provider.passed_seconds += 60

    assert provider.families[0].is_live


def test_a_refused_refresh_shows_that_the_provider_ended_it(browser, provider):
    browser.sign_in()
    provider.end(provider.families[0])

    browser.press("/refresh")

    assert browser.state().startswith("You were signed out by the provider at ")


# ── Signing out here ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("OIDC RP-Initiated Logout", "2")
def test_signing_out_ends_the_session_here_and_goes_to_the_provider_with_all_it_needs(browser, provider):
    browser.sign_in()
    handle = browser.handle

    away = browser.press("/sign-out")

    sent = parse_qs(urlsplit(away.location).query)
    assert away.location.startswith(f"{provider.issuer}/oauth2/logout?")
    assert sent["client_id"] == [CLIENT_ID]
    assert sent["post_logout_redirect_uri"] == ["http://127.0.0.1:9001/signed-out"]
    assert sent["id_token_hint"][0].count(".") == 2
    assert browser.handle is None
    browser.client.set_cookie(COOKIE, handle)  # a copy of the cookie is worth nothing
    assert browser.state().startswith("You signed out at ")
    assert "You are signed out" in browser.get(f"/signed-out?state={sent['state'][0]}").text


@pytest.mark.parametrize("query", ["", "?state=", "?state=forged"])
def test_the_way_back_from_the_provider_needs_the_state_that_was_sent(browser, query):
    browser.sign_in()
    browser.press("/sign-out")

    assert browser.get(f"/signed-out{query}").status_code == 400


@pytest.mark.parametrize("path", ["/sign-out", "/refresh", "/details"])
@pytest.mark.parametrize("form", [{}, {"form_token": "forged"}, {"form_token": "é"}])
def test_a_form_from_elsewhere_does_nothing(browser, path, form):
    browser.sign_in()

    assert browser.post(path, form).status_code == 400
    assert browser.state() == "You are signed in."


@pytest.mark.parametrize("path", ["/sign-out", "/refresh", "/details"])
def test_without_a_session_the_forms_lead_home(browser, path):
    answer = browser.post(path)

    assert (answer.status_code, answer.location) == (303, "/")


def test_signing_out_works_here_even_when_the_provider_is_down(environment, clock, provider, browser):
    browser.sign_in()
    restarted = Browser(create_app(Configuration.from_environment(environment), clock=clock))
    restarted.client.set_cookie(COOKIE, browser.handle)
    provider.is_down = True

    answer = restarted.press("/sign-out")

    assert "signed out here" in answer.text
    assert restarted.state().startswith("You signed out at ")


def test_signing_in_again_ends_the_session_before(browser):
    browser.sign_in()
    first = browser.handle
    browser.sign_in()

    assert browser.handle != first
    browser.client.set_cookie(COOKIE, first)
    assert browser.state().startswith("You signed out at ")


# ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pages_are_not_stored_and_may_load_only_our_own_things(browser, provider):
    answer = browser.get("/")

    policy = answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in policy
    assert f"form-action 'self' {provider.issuer};" in policy
    assert "unsafe-inline" not in policy
    assert "style=" not in answer.text
    assert "Demo &amp; Co" in answer.text


@pytest.mark.parametrize("path", ["/static/style.css", "/static/watch.js", "/healthz"])
def test_everything_a_page_needs_is_served_here(browser, path):
    with browser.get(path) as answer:
        assert answer.status_code == 200


# ── Configuration ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OP_ISSUER", ""),
        ("OP_ISSUER", "localhost:9000"),
        ("RP_CLIENT_ID", ""),
        ("RP_CLIENT_SECRET", ""),
        ("RP_PORT", "http"),
        ("RP_PORT", "70000"),
        ("RP_BASE_URL", "ftp://rp.example"),
        ("RP_COOKIE_NAME", "a b"),
    ],
)
def test_a_wrong_variable_is_named(environment, name, value):
    Configuration.from_environment(environment)

    with pytest.raises(ConfigurationError, match=name):
        Configuration.from_environment(environment | {name: value})


def test_the_secret_is_not_shown(environment):
    configuration = Configuration.from_environment(environment | {"RP_CLIENT_SECRET": "very-secret"})

    assert "very-secret" not in repr(configuration)
