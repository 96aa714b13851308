"""The authorization code flow end to end: signing in, consent, codes, tokens, refresh, and how an answer travels."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from idp.db.models import AuthorizationCode, Consent, StoredRequest, User
from tests.support.characters import RP_REDIRECT, Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import Page, Visitor


def test_a_person_signs_in_allows_and_the_application_gets_tokens(
    rp: RelyingParty, ada: User, browser: Visitor
) -> None:
    answer = rp.authorize(browser, scope="openid email", state="a b&c=d/é?")

    assert answer.fields["state"] == "a b&c=d/é?"
    assert answer.fields["iss"] == "http://localhost"
    tokens = rp.redeem(answer.code)
    assert tokens.status == 200
    assert tokens.token_type == "Bearer"
    assert tokens.expires_in == 300
    assert tokens.scope == "openid email"
    assert rp.read(tokens.id_token)["sub"] == ada.sub
    assert rp.userinfo(tokens).get_json() == {"sub": ada.sub, "email": "ada@example.com", "email_verified": False}


@pytest.mark.spec("RFC 6749", "5.1")
def test_an_answer_with_tokens_is_json_that_nobody_stores(rp: RelyingParty, signed_in: Visitor) -> None:
    response = rp.sign_in(signed_in).response

    assert response.mimetype == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"


@pytest.mark.spec("OIDC Core", "2")
def test_the_id_token_says_who_signed_in_when_and_for_whom(
    rp: RelyingParty, ada: User, signed_in: Visitor, clock: HandClock
) -> None:
    signed_in_at = int(clock.now().timestamp()) - 60

    tokens = rp.sign_in(signed_in)

    claims = rp.read(tokens.id_token)
    now = int(clock.now().timestamp())
    assert claims.pop("sid")
    assert claims.pop("at_hash")
    assert claims == {
        "iss": "http://localhost",
        "sub": ada.sub,
        "aud": rp.id,
        "iat": now,
        "exp": now + 300,
        "auth_time": signed_in_at,
        "amr": ["pwd"],
        "nonce": "no-1",
    }
    assert jwt.get_unverified_header(tokens.id_token)["alg"] == "ES256"


def test_an_application_registered_for_rs256_gets_rs256(provider: Provider, signed_in: Visitor) -> None:
    provider.keys("RS256")
    rp = provider.relying_party(name="Old", is_first_party=True, id_token_signed_response_alg="RS256")

    tokens = rp.sign_in(signed_in)

    assert jwt.get_unverified_header(tokens.id_token)["alg"] == "RS256"
    assert rp.read(tokens.id_token)["aud"] == rp.id
    assert jwt.get_unverified_header(tokens.access_token)["alg"] == "ES256"


def test_without_openid_there_is_no_id_token_and_without_the_refresh_grant_no_refresh_token(
    provider: Provider, signed_in: Visitor
) -> None:
    plain = provider.relying_party(name="Plain", is_first_party=True, grant_types=("authorization_code",))

    tokens = plain.sign_in(signed_in, scope="email")

    assert tokens.access_token
    assert "id_token" not in tokens
    assert "refresh_token" not in tokens


def test_consent_is_remembered_until_more_is_asked_for(rp: RelyingParty, signed_in: Visitor) -> None:
    rp.sign_in(signed_in, scope="openid email")

    again = signed_in.get(rp.address(scope="openid", prompt="none"))
    more = signed_in.get(rp.address(scope="openid profile", prompt="none"))

    assert "code=" in again.location
    assert "error=consent_required" in more.location


def test_a_refused_consent_is_told_and_leaves_nothing(rp: RelyingParty, signed_in: Visitor, provider: Provider) -> None:
    answer = rp.authorize(signed_in, decision="deny")

    assert answer.error == "access_denied"
    assert answer.fields["state"] == "st-1"
    assert answer.fields["iss"] == "http://localhost"
    assert provider.heart.all(Consent) == []
    assert provider.heart.all(AuthorizationCode) == []


def test_a_first_party_application_asks_nothing(provider: Provider, signed_in: Visitor) -> None:
    own = provider.relying_party(name="Own", is_first_party=True)

    assert "code=" in signed_in.get(own.address(prompt="none")).location
    assert provider.heart.all(Consent) == []


def test_refreshing_gives_new_tokens_that_keep_the_facts_of_the_sign_in(
    rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    first = rp.sign_in(signed_in, scope="openid email")
    clock.advance(minutes=10)

    second = rp.refresh(first)

    before, after = rp.read(first.id_token), rp.read(second.id_token)
    assert second.refresh_token != first.refresh_token
    assert {name: after[name] for name in ("iss", "sub", "aud", "sid", "auth_time")} == {
        name: before[name] for name in ("iss", "sub", "aud", "sid", "auth_time")
    }
    assert after["iat"] == before["iat"] + 600
    assert rp.userinfo(first).status_code == 401
    assert rp.userinfo(second).status_code == 200


@pytest.mark.spec("RFC 6749", "6")
def test_a_refresh_may_ask_for_less_but_not_for_more(rp: RelyingParty, signed_in: Visitor) -> None:
    first = rp.sign_in(signed_in, scope="openid email")

    less = rp.refresh(first, scope="openid")
    more = rp.refresh(less, scope="openid email profile")
    same = rp.refresh(less, scope="email openid")

    assert less.scope == "openid"
    assert rp.userinfo(less).get_json().keys() == {"sub"}
    assert more.error == "invalid_scope"
    assert set(same.scope.split()) == {"openid", "email"}


@pytest.mark.spec("RFC 6749", "4.1.2")
def test_a_code_used_twice_takes_back_what_it_gave(rp: RelyingParty, signed_in: Visitor) -> None:
    answer = rp.authorize(signed_in)
    tokens = rp.redeem(answer.code)
    assert rp.userinfo(tokens).status_code == 200

    assert rp.redeem(answer.code).error == "invalid_grant"

    assert rp.userinfo(tokens).status_code == 401
    assert rp.refresh(tokens).error == "invalid_grant"
    assert rp.introspect(tokens.access_token) == {"active": False}


@pytest.mark.spec("OAuth 2.0 Form Post Response Mode", "2")
def test_form_post_sends_the_code_in_a_form_that_needs_no_script(rp: RelyingParty, signed_in: Visitor) -> None:
    answer = rp.authorize(signed_in, response_mode="form_post", state='"><script>')

    assert answer.address == RP_REDIRECT
    assert answer.fields.keys() == {"code", "state", "iss"}
    assert answer.fields["state"] == '"><script>'
    assert rp.redeem(answer.code).access_token
    policy = answer.response.headers["Content-Security-Policy"]
    assert "form-action 'self' https://rp.example;" in policy
    (script,) = re.findall(r"<script>(.*?)</script>", answer.response.text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{allowed}';" in policy
    assert answer.response.headers["Cache-Control"] == "no-store"


def test_errors_travel_by_form_post_too(rp: RelyingParty, signed_in: Visitor) -> None:
    answer = rp.authorize(signed_in, response_mode="form_post", scope="openid admin")

    assert answer.address == RP_REDIRECT
    assert answer.error == "invalid_scope"
    assert answer.fields["state"] == "st-1"


def test_a_post_from_another_site_finds_its_session_by_a_get_of_ours(
    rp: RelyingParty, signed_in: Visitor, provider: Provider
) -> None:
    rp.sign_in(signed_in)
    # What the browser of Ada sends when another site posts: no Lax cookie.
    foreign = {"Origin": "https://rp.example", "Sec-Fetch-Site": "cross-site"}
    posted = provider.post("/oauth2/authorize", rp.request(prompt="none"), headers=foreign)

    assert posted.status_code == 303
    assert posted.location.startswith("/oauth2/authorize?request=")
    answer = provider.walk(signed_in, signed_in.get(posted.location))
    assert rp.redeem(answer.code).access_token


def test_a_stored_post_belongs_to_the_first_browser_that_follows_it(
    rp: RelyingParty, signed_in: Visitor, provider: Provider
) -> None:
    posted = provider.post("/oauth2/authorize", rp.request())
    assert signed_in.get(posted.location).location.startswith("/consent?")

    stolen = provider.visitor().get(posted.location)

    assert stolen.status_code == 400
    assert not stolen.location
    assert provider.walk(signed_in, signed_in.get(posted.location)).code


def test_the_answer_works_when_the_whole_flow_is_posted(rp: RelyingParty, ada: User, browser: Visitor) -> None:
    browser.get("/login")

    answer = rp.provider.walk(browser, browser.client.post("/oauth2/authorize", data=rp.request()))

    assert rp.redeem(answer.code).access_token


def test_nothing_of_a_waiting_request_is_kept_that_could_be_used(
    provider: Provider, rp: RelyingParty, signed_in: Visitor
) -> None:
    hint = rp.sign_in(signed_in).id_token

    signed_in.get(rp.address(id_token_hint=hint, prompt="login", login_hint="ada@example.com"))

    (stored,) = [row for row in provider.heart.all(StoredRequest) if row.used_at is None]
    assert hint not in str(stored.parameters)
    assert "id_token_hint" not in stored.parameters
    assert stored.parameters["login_hint"] == "ada@example.com"


@pytest.mark.spec("RFC 8707", "2")
def test_tokens_are_made_for_the_resource_that_was_asked_for(provider: Provider, signed_in: Visitor) -> None:
    rp = provider.relying_party(
        name="Two", is_first_party=True, allowed_resources=("https://a.example/", "https://b.example/")
    )

    def audience(**token_request: Any) -> Any:
        code = rp.authorize(signed_in, resource=["https://a.example/", "https://b.example/"]).code
        return rp.read(rp.redeem(code, **token_request).access_token)["aud"]

    assert audience() == ["https://a.example/", "https://b.example/"]
    assert audience(resource="https://b.example/") == "https://b.example/"
    assert rp.read(rp.sign_in(signed_in).access_token)["aud"] == "http://localhost/oauth2/userinfo"


def test_a_resource_that_was_not_granted_costs_no_code(provider: Provider, signed_in: Visitor) -> None:
    rp = provider.relying_party(
        name="Two", is_first_party=True, allowed_resources=("https://a.example/", "https://b.example/")
    )
    code = rp.authorize(signed_in, resource="https://a.example/").code

    assert rp.redeem(code, resource="https://b.example/").error == "invalid_target"
    assert rp.redeem(code, resource="https://a.example/").access_token


def test_everything_works_below_a_path(open_provider: Callable[..., Provider]) -> None:
    provider = open_provider(issuer="http://localhost/idp")
    provider.person("ada")
    rp = provider.relying_party(name="Wiki")
    browser = provider.visitor()

    answer = rp.authorize(browser)

    assert answer.fields["iss"] == "http://localhost/idp"
    tokens = rp.redeem(answer.code)
    assert rp.read(tokens.id_token)["iss"] == "http://localhost/idp"
    assert rp.userinfo(tokens).status_code == 200
    assert browser.get("/oauth2/authorize").status_code == 404


def test_the_consent_page_shows_who_asks_for_what_and_leads_only_to_the_application(
    rp: RelyingParty, signed_in: Visitor
) -> None:
    response = signed_in.get(signed_in.get(rp.address(scope="openid email")).location)

    page = Page(response.text)
    assert "Wiki" in page.text
    assert "rp.example" in page.text
    assert "e-mail address" in page.text
    assert {"consent-allow", "consent-deny"} <= page.ids
    assert "form-action 'self' https://rp.example;" in response.headers["Content-Security-Policy"]
    assert urlsplit(page.links["Not you? Use another account"]).path == "/login"
