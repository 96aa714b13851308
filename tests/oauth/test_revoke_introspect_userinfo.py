"""Revocation, introspection and userinfo: what they do, and the wire-level table of what they refuse."""

from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from idp import keys
from idp.db.models import AuditEvent, DeniedAccessToken, Session, SessionClient, TokenFamily, User
from tests.support.characters import Provider, RelyingParty, Tokens
from tests.support.heart import HandClock
from tests.support.pages import Visitor

LONG = "x" * 9000
API = "https://api.example/"


@pytest.fixture
def own(provider: Provider) -> RelyingParty:
    """A first-party client: codes without a page."""
    return provider.relying_party(name="Own", is_first_party=True, allowed_resources=(API,))


@pytest.fixture
def api(provider: Provider) -> RelyingParty:
    """A resource server."""
    return provider.relying_party(name="API", redirect_uris=(), resource_identifiers=(API,))


@pytest.fixture
def tokens(own: RelyingParty, signed_in: Visitor) -> Tokens:
    return own.sign_in(signed_in, scope="openid email")


def mangled(token: str) -> list[str]:
    """Texts that look like this token and are not it."""
    head, body, signature = token.split(".")
    return [
        token + "A",
        token[:-1],
        "A" + token,
        f"{head}.{body}.",
        f"eyJhbGciOiJub25lIn0.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}x.{signature}",
        f"{token}.{token}",
        "." * 5000,
    ]


# ── Revocation ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("RFC 7009", "2.1")
def test_a_revoked_refresh_token_takes_its_family_along_and_leaves_the_participation(
    provider: Provider, own: RelyingParty, tokens: Tokens
) -> None:
    response = own.revoke(tokens.refresh_token)

    assert response.status_code == 200
    assert response.get_json() == {}
    assert own.refresh(tokens).error == "invalid_grant"
    assert own.userinfo(tokens).status_code == 401
    assert own.introspect(tokens.access_token) == {"active": False}
    # Lesson 5: the session is still there, and so is the application that must hear of its end.
    (participation,) = provider.heart.all(SessionClient)
    assert participation.ended_at is None


def test_a_tools_refresh_token_is_its_whole_session(
    provider: Provider, cli_app: RelyingParty, signed_in: Visitor
) -> None:
    tokens = cli_app.sign_in(signed_in, scope="openid offline_access")

    assert cli_app.revoke(tokens.refresh_token, token_type_hint="refresh_token").status_code == 200

    ended = [session for session in provider.heart.all(Session) if session.ended_at is not None]
    assert [session.kind for session in ended] == ["app"]
    assert cli_app.refresh(tokens).error == "invalid_grant"


def test_a_revoked_access_token_is_refused_by_us_and_its_family_goes_on(
    provider: Provider, own: RelyingParty, tokens: Tokens
) -> None:
    assert own.revoke(tokens.access_token).status_code == 200
    assert own.revoke(tokens.access_token).status_code == 200

    assert own.userinfo(tokens).status_code == 401
    assert own.introspect(tokens.access_token) == {"active": False}
    assert own.userinfo(own.refresh(tokens)).status_code == 200
    assert len(provider.heart.all(DeniedAccessToken)) == 1
    assert len(provider.heart.all(AuditEvent, AuditEvent.kind == "access_token_revoked")) == 1


@pytest.mark.spec("RFC 7009", "2.2")
def test_a_token_that_is_not_the_callers_is_answered_alike_and_left_alone(
    provider: Provider, own: RelyingParty, tokens: Tokens
) -> None:
    other = provider.relying_party(name="Other")
    answers = [
        other.revoke(tokens.refresh_token),
        other.revoke(tokens.access_token),
        own.revoke(tokens.id_token),
        *(own.revoke(text) for text in ("nonsense", "idp_rt_" + "A" * 96, *mangled(tokens.access_token))),
    ]

    assert {(answer.status_code, answer.data) for answer in answers} == {(200, b"{}")}
    assert own.userinfo(tokens).status_code == 200
    assert own.refresh(tokens).access_token


def test_hints_about_the_type_change_nothing(own: RelyingParty, tokens: Tokens) -> None:
    assert own.revoke(tokens.refresh_token, token_type_hint="access_token").status_code == 200
    assert own.refresh(tokens).error == "invalid_grant"
    assert own.revoke("nonsense", token_type_hint="no such type").status_code == 200


def test_a_wrong_revocation_is_refused_and_revokes_nothing(
    provider: Provider, own: RelyingParty, tokens: Tokens
) -> None:
    token = tokens.refresh_token

    for changes, error, status in (
        ({"token": None}, "invalid_request", 400),
        ({"token": ""}, "invalid_request", 400),
        ({"token": [token, token]}, "invalid_request", 400),
        ({"token": LONG}, "invalid_request", 400),
        ({"token": "\x00"}, "invalid_request", 400),
        ({"client_id": "someone-else"}, "invalid_request", 400),
        ({"client_secret": own.secret}, "invalid_request", 400),
    ):
        check_refusal(own.post("/oauth2/revoke", **({"token": token} | changes)), error, status)
    check_refusal(provider.post("/oauth2/revoke", {"token": token}), "invalid_client", 401)
    check_refusal(provider.post("/oauth2/revoke", {"token": token, "client_id": own.id}), "invalid_client", 401)
    assert provider.get("/oauth2/revoke").status_code == 405

    assert own.userinfo(tokens).status_code == 200
    assert own.revoke(token).status_code == 200
    assert own.userinfo(tokens).status_code == 401


def check_refusal(response: TestResponse, error: str, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.get_json()["error"] == error
    assert response.headers["Cache-Control"] == "no-store"


# ── Introspection ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("RFC 7662", "2.2")
def test_a_client_learns_what_its_own_tokens_are_worth(
    own: RelyingParty, ada: User, tokens: Tokens, clock: HandClock
) -> None:
    now, sid = int(clock.now().timestamp()), own.read(tokens.id_token)["sid"]

    access, refresh = own.introspect(tokens.access_token), own.introspect(tokens.refresh_token)

    assert access.pop("jti")
    assert access == {
        "active": True,
        "token_type": "Bearer",
        "iss": "http://localhost",
        "sub": ada.sub,
        "aud": "http://localhost/oauth2/userinfo",
        "client_id": own.id,
        "scope": "openid email",
        "iat": now,
        "exp": now + 300,
        "sid": sid,
        "auth_time": now - 60,
    }
    assert refresh == {
        "active": True,
        "iss": "http://localhost",
        "sub": ada.sub,
        "client_id": own.id,
        "scope": "openid email",
        "iat": now,
        "sid": sid,
        "auth_time": now - 60,
    }


def test_a_resource_server_learns_about_tokens_for_itself_and_no_others(
    provider: Provider, own: RelyingParty, api: RelyingParty, signed_in: Visitor, tokens: Tokens
) -> None:
    for_api = own.sign_in(signed_in, resource=API)
    other_api = provider.relying_party(name="Other", redirect_uris=(), resource_identifiers=("https://other.example/",))

    assert api.introspect(for_api.access_token)["active"] is True
    assert api.introspect(for_api.access_token)["aud"] == API
    assert other_api.introspect(for_api.access_token) == {"active": False}
    assert api.introspect(tokens.access_token) == {"active": False}
    assert api.introspect(for_api.refresh_token) == {"active": False}


def test_a_service_token_is_introspected_without_a_person(service: RelyingParty) -> None:
    answer = service.introspect(service.client_credentials().access_token)

    assert answer["active"] is True
    assert answer["sub"] == f"client:{service.id}"
    assert "sid" not in answer


def test_no_is_exactly_no(provider: Provider, own: RelyingParty, tokens: Tokens, clock: HandClock) -> None:
    no = {"active": False}
    for text in ("nonsense", tokens.id_token, "idp_rt_" + "A" * 96, *mangled(tokens.access_token)):
        assert own.introspect(text) == no
    assert own.introspect(tokens.access_token, token_type_hint="nonsense")["active"] is True

    clock.advance(seconds=299)
    assert own.introspect(tokens.access_token)["active"] is True
    clock.advance(seconds=1)
    assert own.introspect(tokens.access_token) == no
    assert own.introspect(tokens.refresh_token)["active"] is True
    provider.heart.change(provider.heart.all(TokenFamily)[0], revoked_at=clock.now(), revoke_reason="token_revoked")
    assert own.introspect(tokens.refresh_token) == no


def test_what_a_client_lost_is_gone_from_what_its_token_may_do(
    provider: Provider, own: RelyingParty, tokens: Tokens
) -> None:
    provider.heart.change(own.client, scopes=("openid",))

    assert own.introspect(tokens.access_token)["scope"] == "openid"
    assert "email" not in own.userinfo(tokens).get_json()


def test_a_disabled_person_has_no_live_token(provider: Provider, own: RelyingParty, ada: User, tokens: Tokens) -> None:
    provider.heart.change(ada, disabled_at=provider.heart.now)

    assert own.introspect(tokens.access_token) == {"active": False}
    assert own.introspect(tokens.refresh_token) == {"active": False}
    assert own.userinfo(tokens).status_code == 401


def test_a_wrong_introspection_is_refused(
    provider: Provider, own: RelyingParty, cli_app: RelyingParty, tokens: Tokens
) -> None:
    for changes in ({"token": None}, {"token": ""}, {"token": ["a", "b"]}, {"token": LONG}, {"token": "\x00"}):
        check_refusal(own.post("/oauth2/introspect", **changes), "invalid_request", 400)
    check_refusal(provider.post("/oauth2/introspect", {"token": tokens.access_token}), "invalid_client", 401)
    check_refusal(cli_app.post("/oauth2/introspect", token=tokens.access_token), "invalid_client", 401)
    assert provider.get("/oauth2/introspect?token=x").status_code == 405

    assert own.introspect(tokens.access_token)["active"] is True


# ── Userinfo ──────────────────────────────────────────────────────────────────────────────────────────────────────────

EVERYTHING = {
    "name": "Ada Lovelace",
    "given_name": "Ada",
    "family_name": "Lovelace",
    "middle_name": "",
    "nickname": "ada",
    "profile": "https://ada.example/",
    "picture": "https://ada.example/p.png",
    "website": "https://ada.example/",
    "gender": "female",
    "birthdate": "1815-12-10",
    "zoneinfo": "Europe/London",
    "locale": "en-GB",
    "phone_number": "+44 20 7946 0000",
    "phone_number_verified": True,
    "address": {"locality": "London", "country": "GB", "region": ""},
    "internal_note": "never shown",
}


@pytest.mark.spec("OIDC Core", "5.4")
def test_each_scope_gives_its_claims_and_nothing_else(provider: Provider, own: RelyingParty, clock: HandClock) -> None:
    ada = provider.person("ada", claims=EVERYTHING, email_verified=True)
    browser = provider.visitor()

    def claims(scope: str) -> dict[str, Any]:
        answer: dict[str, Any] = own.userinfo(own.sign_in(browser, scope=scope)).get_json()
        assert answer.pop("sub") == ada.sub
        return answer

    assert claims("openid") == {}
    assert claims("openid email") == {"email": "ada@example.com", "email_verified": True}
    assert claims("openid phone") == {"phone_number": "+44 20 7946 0000", "phone_number_verified": True}
    assert claims("openid address") == {"address": {"locality": "London", "country": "GB"}}
    profile = claims("openid profile")
    assert profile["preferred_username"] == "ada"
    assert profile["updated_at"] == int(ada.claims_updated_at.timestamp())
    assert "middle_name" not in profile  # no empty strings
    assert "internal_note" not in profile


@pytest.mark.spec("OIDC Core", "5.5")
def test_claims_asked_for_by_name_come_back_by_name(provider: Provider, own: RelyingParty) -> None:
    provider.person("ada", claims=EVERYTHING)
    asked = '{"userinfo":{"given_name":{"essential":true},"phone_number":null,"internal_note":null,"sub":null}}'

    tokens = own.sign_in(provider.visitor(), claims=asked)

    assert own.userinfo(tokens).get_json().keys() == {"sub", "given_name", "phone_number"}
    assert own.userinfo(own.refresh(tokens)).get_json().keys() == {"sub", "given_name", "phone_number"}


def test_a_claim_of_a_scope_that_the_client_may_not_have_is_not_given_by_name(provider: Provider) -> None:
    provider.person("ada", claims=EVERYTHING)
    narrow = provider.relying_party(name="Narrow", is_first_party=True, scopes=("openid", "email"))

    tokens = narrow.sign_in(provider.visitor(), claims='{"userinfo":{"phone_number":null,"email":null}}')

    assert narrow.userinfo(tokens).get_json() == {
        "sub": narrow.read(tokens.id_token)["sub"],
        "email": "ada@example.com",
    }


@pytest.mark.spec("RFC 6750", "2")
def test_the_token_is_taken_from_the_header_or_the_form_and_only_once(
    provider: Provider, own: RelyingParty, tokens: Tokens
) -> None:
    token = tokens.access_token
    header = {"Authorization": f"Bearer {token}"}
    client = provider.app.test_client()

    assert client.get("/oauth2/userinfo", headers=header).status_code == 200
    assert client.get("/oauth2/userinfo", headers={"Authorization": f"bearer {token}"}).status_code == 200
    assert client.post("/oauth2/userinfo", headers=header).status_code == 200
    assert client.post("/oauth2/userinfo", data={"access_token": token}).status_code == 200
    for response in (
        client.post("/oauth2/userinfo", data={"access_token": token}, headers=header),
        client.post("/oauth2/userinfo", data={"access_token": [token, token]}),
        client.get("/oauth2/userinfo", headers={"Authorization": "Bearer"}),
        client.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token} {token}"}),
        client.get("/oauth2/userinfo", headers={"Authorization": "Bearer é"}),
    ):
        check_challenge(response, "invalid_request", 400)
    for response in (
        client.get("/oauth2/userinfo"),
        client.get(f"/oauth2/userinfo?access_token={token}"),
        client.post("/oauth2/userinfo", json={"access_token": token}),
        client.get("/oauth2/userinfo", headers={"Authorization": "Basic eDp4"}),
    ):
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="idp"'  # RFC 6750 §3.1: no code without a token
    assert client.put("/oauth2/userinfo", headers=header).status_code == 405


def check_challenge(response: TestResponse, error: str, status: int) -> None:
    assert response.status_code == status, response.text
    assert f'error="{error}"' in response.headers["WWW-Authenticate"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.headers["Cache-Control"] == "no-store"


def test_only_a_live_access_token_meant_for_us_opens_userinfo(
    provider: Provider,
    own: RelyingParty,
    service: RelyingParty,
    signed_in: Visitor,
    tokens: Tokens,
    clock: HandClock,
) -> None:
    for text in (
        tokens.id_token,
        tokens.refresh_token,
        own.sign_in(signed_in, resource=API).access_token,
        *mangled(tokens.access_token),
    ):
        check_challenge(own.userinfo(text), "invalid_token", 401)
    check_challenge(own.userinfo(own.sign_in(signed_in, scope="email")), "insufficient_scope", 403)
    check_challenge(own.userinfo(service.client_credentials()), "insufficient_scope", 403)

    assert own.userinfo(tokens).status_code == 200
    clock.advance(minutes=5)
    check_challenge(own.userinfo(tokens), "invalid_token", 401)


def test_a_compromised_key_makes_its_tokens_worthless(provider: Provider, own: RelyingParty, tokens: Tokens) -> None:
    kid = jwt.get_unverified_header(tokens.access_token)["kid"]
    provider.keys("ES256")
    assert own.userinfo(tokens).status_code == 200

    with provider.heart.database.transaction() as tx:
        keys.retire(tx, kid=kid, compromised=True, now=provider.heart.now, settings=provider.settings)
    provider.services.keys.forget()

    check_challenge(own.userinfo(tokens), "invalid_token", 401)
    assert own.userinfo(own.refresh(tokens)).status_code == 200
