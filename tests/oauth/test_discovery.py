"""Discovery, keys, and which endpoints scripts of other origins may call."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from idp import keys
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import Visitor

WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
OPEN = (*WELL_KNOWN, "/oauth2/jwks", "/oauth2/token", "/oauth2/revoke", "/oauth2/userinfo")
CLOSED = ("/oauth2/authorize", "/oauth2/introspect", "/oauth2/logout", "/consent", "/login", "/account")


@pytest.mark.spec("OIDC Discovery", "3")
def test_both_well_known_documents_say_the_same_and_everything_required(provider: Provider) -> None:
    documents = [provider.get(path) for path in WELL_KNOWN]

    assert documents[0].get_json() == documents[1].get_json()
    for response in documents:
        assert response.status_code == 200
        assert response.mimetype == "application/json"
    metadata = documents[0].get_json()
    assert metadata["issuer"] == "http://localhost"
    required = {
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    }
    assert required <= metadata.keys()
    assert "RS256" in metadata["id_token_signing_alg_values_supported"]
    assert metadata["request_uri_parameter_supported"] is False
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True
    assert metadata["code_challenge_methods_supported"] == ["S256"]


def test_every_endpoint_that_is_named_exists(provider: Provider) -> None:
    metadata = provider.get(WELL_KNOWN[0]).get_json()
    addresses = {name: value for name, value in metadata.items() if name.endswith(("_endpoint", "_uri"))}

    for name, address in addresses.items():
        assert address.startswith("http://localhost/"), name
        assert provider.get(urlsplit(address).path).status_code != 404, name


@pytest.mark.spec("RFC 8414", "3.1")
def test_below_a_path_the_well_known_part_stands_before_and_behind_it(open_provider: Callable[..., Provider]) -> None:
    provider = open_provider(issuer="http://localhost/some/path")
    client = provider.app.test_client()

    found = [
        client.get("/some/path/.well-known/openid-configuration"),
        client.get("/some/path/.well-known/oauth-authorization-server"),
        client.get("/.well-known/oauth-authorization-server/some/path"),
        client.get("/.well-known/openid-configuration/some/path"),
    ]

    for response in found:
        assert response.get_json()["issuer"] == "http://localhost/some/path"
        assert response.get_json()["token_endpoint"] == "http://localhost/some/path/oauth2/token"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    for elsewhere in (WELL_KNOWN[1], WELL_KNOWN[1] + "/other", "/oauth2/token"):
        assert client.get(elsewhere).status_code == 404


def test_no_header_of_a_request_makes_an_address(provider: Provider) -> None:
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}

    response = provider.get(WELL_KNOWN[0], headers=lies)

    assert "evil.example" not in response.text


def test_the_key_set_is_public_has_distinct_names_and_holds_keys_of_the_future(
    provider: Provider, clock: HandClock
) -> None:
    provider.keys("RS256")
    with provider.heart.database.transaction() as tx:
        future = keys.rotate(
            tx,
            algorithm="ES256",
            keyring=provider.heart.keyring,
            now=clock.now(),
            settings=provider.settings,
            immediately=False,
        ).kid
    provider.services.keys.forget()

    response = provider.get("/oauth2/jwks")

    published = response.get_json()["keys"]
    assert len({jwk["kid"] for jwk in published}) == len(published) == 3
    assert future in {jwk["kid"] for jwk in published}
    assert all(not jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"} for jwk in published)
    assert response.headers["Cache-Control"] == "public, max-age=300"


def test_a_rotation_while_we_run_signs_with_the_new_key_and_keeps_the_old_one_published(
    provider: Provider, signed_in: Visitor
) -> None:
    rp = provider.relying_party(name="Own", is_first_party=True)
    before = rp.sign_in(signed_in)
    provider.keys("ES256")

    after = rp.sign_in(signed_in)

    assert rp.read(before.id_token)["sub"] == rp.read(after.id_token)["sub"]
    assert rp.userinfo(before).status_code == rp.userinfo(after).status_code == 200
    assert len(provider.get("/oauth2/jwks").get_json()["keys"]) == 2


@pytest.mark.parametrize("path", OPEN)
def test_scripts_of_any_origin_may_call_the_open_endpoints_and_read_their_errors(provider: Provider, path: str) -> None:
    client = provider.app.test_client()
    origin = {"Origin": "https://spa.example"}

    preflight = client.options(path, headers={**origin, "Access-Control-Request-Method": "POST"})
    answers = [client.get(path, headers=origin), client.post(path, headers=origin, data={"x": "y"})]

    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    for answer in answers:
        if answer.status_code != 405:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", CLOSED)
def test_pages_and_introspection_are_closed_to_scripts_of_other_origins(provider: Provider, path: str) -> None:
    client = provider.app.test_client()
    origin = {"Origin": "https://spa.example"}

    for answer in (client.options(path, headers=origin), client.get(path, headers=origin)):
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_without_a_key_nothing_is_signed_and_nothing_is_used_up(
    provider: Provider, signed_in: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp = provider.relying_party(name="Own", is_first_party=True)
    code = rp.authorize(signed_in).code

    def missing(*_: Any) -> Any:
        raise keys.KeyUnavailable("out of order")

    with monkeypatch.context() as broken:
        broken.setattr(provider.services.keys, "signer", missing)
        refused = rp.redeem(code)

    assert refused.status == 503
    assert refused.error == "temporarily_unavailable"
    assert rp.redeem(code).access_token


def test_a_relying_party_finds_everything_from_the_issuer_alone(provider: Provider, ada: object) -> None:
    rp: RelyingParty = provider.relying_party(name="Wiki")
    metadata = provider.get(WELL_KNOWN[0]).get_json()

    answer = rp.authorize(provider.visitor())

    assert answer.fields["iss"] == metadata["issuer"] == rp.read(rp.redeem(answer.code).id_token)["iss"]
