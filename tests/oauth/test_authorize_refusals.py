"""The wire-level table of the authorization endpoint: each refusal beside its mended request, which succeeds.

The client is first-party and the person signed in, so that a good request is answered with a code at once.
"""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.characters import RP_REDIRECT, Answer, Provider, RelyingParty
from tests.support.pages import Page, Visitor

OTHER = "https://rp.example/other"
MANY = "x" * 4000


@pytest.fixture
def own(provider: Provider) -> RelyingParty:
    """A first-party client that may do everything that clients may."""
    return provider.relying_party(
        name="Own", is_first_party=True, allowed_resources=("https://api.example/",), redirect_uris=(RP_REDIRECT, OTHER)
    )


def ask(own: RelyingParty, browser: Visitor, **changes: Any) -> Answer:
    """One request, no further step: where it leads at once."""
    response = browser.get(own.address(**changes))
    location = response.location or ""
    return Answer(dict(parse_qsl(urlsplit(location).query)), response, location)


# ── Before client and redirect URI are known to be good: a page, never a redirect ─────────────────────────────────────


PAGES: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "client_id": [
        ({"client_id": None}, {}),
        ({"client_id": ""}, {}),
        ({"client_id": "unknown"}, {}),
        ({"client_id": MANY}, {}),
        ({"client_id": "\x00"}, {}),
        ({"client_id": ["{id}", "{id}"]}, {"client_id": ["{id}"]}),
        ({"client_id": ["{id}", "other"]}, {"client_id": ["", "{id}"]}),
    ],
    "redirect_uri": [
        ({"redirect_uri": None}, {}),
        ({"redirect_uri": ""}, {"redirect_uri": OTHER}),
        ({"redirect_uri": "https://evil.example/"}, {}),
        ({"redirect_uri": RP_REDIRECT + "/"}, {}),
        ({"redirect_uri": RP_REDIRECT + "?x=1"}, {}),
        ({"redirect_uri": RP_REDIRECT + "#x"}, {}),
        ({"redirect_uri": RP_REDIRECT.upper()}, {}),
        ({"redirect_uri": "https://rp.example/callback/../callback"}, {}),
        ({"redirect_uri": "https://rp.example@evil.example/callback"}, {}),
        ({"redirect_uri": RP_REDIRECT + "\x00"}, {}),
        ({"redirect_uri": "javascript:alert(1)"}, {}),
        ({"redirect_uri": [RP_REDIRECT, "https://evil.example/"]}, {"redirect_uri": [RP_REDIRECT]}),
        ({"redirect_uri": [RP_REDIRECT, RP_REDIRECT]}, {"redirect_uri": [RP_REDIRECT]}),
    ],
}


@pytest.mark.spec("RFC 9700", "4.11")
@pytest.mark.parametrize("parameter", PAGES)
def test_without_a_verified_client_and_redirect_uri_there_is_a_page_and_no_redirect(
    own: RelyingParty, signed_in: Visitor, parameter: str
) -> None:
    def filled(given: dict[str, Any]) -> dict[str, Any]:
        repeated = {name: value for name, value in given.items() if isinstance(value, list)}
        return given | {name: [one.format(id=own.id) for one in value] for name, value in repeated.items()}

    for changes, mended in PAGES[parameter]:
        # A second fault behind the first must not open a way out.
        for extra in ({}, {"response_type": "token"}, {"prompt": "none"}, {"response_mode": "form_post"}):
            refused = ask(own, signed_in, **filled(changes), **extra)

            assert refused.response.status_code == 400, changes
            assert not refused.response.location, changes
            assert refused.response.mimetype == "text/html", changes
            assert "evil.example" not in refused.response.text, changes

        assert ask(own, signed_in, **filled(mended)).code, mended


# ── Afterwards: the client is told ────────────────────────────────────────────────────────────────────────────────────


REFUSALS: dict[str, list[tuple[dict[str, Any], str, dict[str, Any]]]] = {
    "response_type": [
        ({"response_type": None}, "invalid_request", {}),
        ({"response_type": ""}, "invalid_request", {}),
        ({"response_type": "token"}, "unsupported_response_type", {}),
        ({"response_type": "code id_token"}, "unsupported_response_type", {}),
        ({"response_type": ["code", "token"]}, "invalid_request", {"response_type": ["code"]}),
    ],
    "response_mode": [
        ({"response_mode": "fragment"}, "invalid_request", {"response_mode": "query"}),
        ({"response_mode": ["query", "query"]}, "invalid_request", {"response_mode": ["query"]}),
    ],
    "scope": [
        ({"scope": None}, "invalid_scope", {}),
        ({"scope": " "}, "invalid_scope", {"scope": "openid"}),
        ({"scope": "openid  email"}, "invalid_scope", {"scope": "openid email"}),
        ({"scope": "openid admin"}, "invalid_scope", {"scope": "openid phone"}),
        ({"scope": 'openid "x"'}, "invalid_scope", {"scope": "openid"}),
        ({"scope": "openid é"}, "invalid_scope", {"scope": "openid"}),
        ({"scope": "openid " + MANY}, "invalid_scope", {"scope": "openid"}),
        ({"scope": ["openid", "email"]}, "invalid_request", {"scope": "openid email openid"}),
    ],
    "nonce": [
        ({"nonce": "n" * 513}, "invalid_request", {"nonce": "n" * 512}),
        ({"nonce": ["a", "b"]}, "invalid_request", {"nonce": ["a"]}),
    ],
    "pkce": [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request", {}),
        ({"code_challenge": None}, "invalid_request", {}),
        ({"code_challenge_method": None}, "invalid_request", {}),
        ({"code_challenge_method": "plain"}, "invalid_request", {}),
        ({"code_challenge_method": "s256"}, "invalid_request", {}),
        ({"code_challenge": "short"}, "invalid_request", {"code_challenge": "A" * 43}),
        ({"code_challenge": "A" * 44}, "invalid_request", {"code_challenge": "A" * 43}),
        ({"code_challenge": "A" * 42 + "="}, "invalid_request", {"code_challenge": "A" * 43}),
    ],
    "prompt": [
        ({"prompt": "sometimes"}, "invalid_request", {"prompt": "none"}),
        ({"prompt": "none login"}, "invalid_request", {"prompt": "none"}),
    ],
    "max_age": [
        ({"max_age": "-1"}, "invalid_request", {"max_age": "100000"}),
        ({"max_age": "1.5"}, "invalid_request", {"max_age": "100000"}),
        ({"max_age": "1e9"}, "invalid_request", {"max_age": "999999999"}),
        ({"max_age": "9" * 5000}, "invalid_request", {"max_age": "100000"}),
        ({"max_age": "٣٦٠٠"}, "invalid_request", {"max_age": "3600"}),
    ],
    "id_token_hint": [
        ({"id_token_hint": "nonsense"}, "invalid_request", {}),
        ({"id_token_hint": "." * 5000}, "invalid_request", {}),
        ({"id_token_hint": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."}, "invalid_request", {}),
    ],
    "request objects": [
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported", {}),
        ({"request_uri": "https://rp.example/request#x"}, "request_uri_not_supported", {}),
    ],
    "claims": [
        ({"claims": "no json"}, "invalid_request", {"claims": "{}"}),
        ({"claims": "[]"}, "invalid_request", {"claims": '{"userinfo":null}'}),
        ({"claims": '{"userinfo":[]}'}, "invalid_request", {"claims": '{"userinfo":{}}'}),
        ({"claims": '{"userinfo":{"email":1}}'}, "invalid_request", {"claims": '{"userinfo":{"email":null}}'}),
        ({"claims": "[" * 4000}, "invalid_request", {"claims": "{}"}),
        ({"claims": '{"a":' * 800}, "invalid_request", {"claims": "{}"}),
        ({"claims": "9" * 4096}, "invalid_request", {"claims": "{}"}),
        ({"claims": '{"id_token":{"sub":{"value":"\\ud800"}}}'}, "invalid_request", {"claims": "{}"}),
        ({"claims": '{"x":"' + "x" * 4096 + '"}'}, "invalid_request", {"claims": '{"x":"x"}'}),
    ],
    "resource": [
        ({"resource": "https://other.example/"}, "invalid_target", {"resource": "https://api.example/"}),
        (
            {"resource": ["https://api.example/", "https://other.example/"]},
            "invalid_target",
            {"resource": ["https://api.example/", "https://api.example/"]},
        ),
        ({"resource": "api"}, "invalid_target", {}),
    ],
}


@pytest.mark.parametrize("parameter", REFUSALS)
def test_the_client_is_told_what_is_wrong_and_the_mended_request_gets_a_code(
    own: RelyingParty, signed_in: Visitor, parameter: str
) -> None:
    for changes, error, mended in REFUSALS[parameter]:
        refused = ask(own, signed_in, **changes)

        assert refused.address.startswith(RP_REDIRECT + "?"), changes
        assert refused.error == error, changes
        assert "code" not in refused.fields, changes
        assert refused.fields["state"] == "st-1", changes
        assert refused.fields["iss"] == "http://localhost", changes  # RFC 9207: in errors too
        description = refused.fields["error_description"]
        assert all(0x20 <= ord(one) <= 0x7E and one not in '"\\' for one in description), description

        good = ask(own, signed_in, **mended)
        assert good.code, mended
        assert good.fields["iss"] == "http://localhost"


def test_a_state_that_cannot_be_repeated_is_not(own: RelyingParty, signed_in: Visitor) -> None:
    for state in (["a", "b"], ["a", "a"], "s" * 2049):
        refused = ask(own, signed_in, state=state)

        assert refused.error == "invalid_request"
        assert "state" not in refused.fields


def test_a_state_comes_back_exactly_as_it_was(own: RelyingParty, signed_in: Visitor) -> None:
    for state in (None, "s" * 2048, "".join(map(chr, range(0x20, 0x7F))), "日本 🙂", "a\r\nb"):
        answer = ask(own, signed_in, state=state)

        assert answer.code
        assert answer.fields.get("state") == state


def test_hints_and_unknown_parameters_stop_nothing(own: RelyingParty, signed_in: Visitor) -> None:
    unknown: list[dict[str, Any]] = [
        {"display": "popup", "ui_locales": "de fr", "claims_locales": "de", "acr_values": "1 2"},
        {"login_hint": "ada@example.com"},
        {"login_hint": "x" * 1000},
        {"whatever": ["a", "b"], "hinted_sub": "someone else"},
        {"prompt": "none none"},
    ]
    for changes in unknown:
        assert ask(own, signed_in, **changes).code, changes


def test_undecodable_or_boundless_queries_are_a_page(own: RelyingParty, signed_in: Visitor) -> None:
    undecodable = ("client_id=%00", "client_id=%FF", "state=%ED%A0%80", "state=%C3%28")
    for query in (*undecodable, "&".join(["a=1"] * 300), "a=" + "b" * 20000):
        refused = signed_in.get(f"{own.address(prompt='none')}&{query}")

        assert refused.status_code == 400, query
        assert not refused.location


def test_only_get_and_post_are_answered(own: RelyingParty, signed_in: Visitor) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        refused = signed_in.client.open(own.address(), method=method)

        assert refused.status_code == 405, method
        assert not refused.location


def test_a_post_must_be_a_form(own: RelyingParty, signed_in: Visitor) -> None:
    as_json = signed_in.client.post("/oauth2/authorize", json=own.request())
    as_form = signed_in.client.post("/oauth2/authorize", data=own.request())

    assert as_json.status_code == 400
    assert not as_json.location
    assert Page(as_json.text).text
    assert "code=" in (as_form.location or "")


def test_an_oversized_post_is_refused(own: RelyingParty, signed_in: Visitor) -> None:
    refused = signed_in.client.post("/oauth2/authorize", data={**own.request(), "state": "x" * 70_000})

    assert refused.status_code in {400, 413}
    assert not refused.location


def test_a_disabled_client_is_no_client(own: RelyingParty, signed_in: Visitor, provider: Provider) -> None:
    provider.heart.change(own.client, disabled_at=provider.heart.now)
    assert ask(own, signed_in).response.status_code == 400

    provider.heart.change(own.client, disabled_at=None)
    assert ask(own, signed_in).code


def test_a_client_without_the_code_grant_gets_no_code(service: RelyingParty, signed_in: Visitor) -> None:
    refused = ask(service, signed_in, redirect_uri=RP_REDIRECT)

    assert refused.response.status_code == 400
    assert not refused.response.location


@pytest.mark.spec("RFC 9700", "2.1.1")
def test_pkce_can_be_left_out_only_by_a_client_registered_so(
    provider: Provider, own: RelyingParty, signed_in: Visitor
) -> None:
    without = {"code_challenge": None, "code_challenge_method": None}
    relaxed = provider.relying_party(name="Old", is_first_party=True, requires_pkce=False)

    assert ask(own, signed_in, **without).error == "invalid_request"
    answer = ask(relaxed, signed_in, **without)
    assert relaxed.redeem(answer.code, code_verifier=None).access_token
    # It may still use it, and is then held to it.
    assert relaxed.redeem(ask(relaxed, signed_in).code, code_verifier="x" * 43).error == "invalid_grant"


def test_a_registered_address_is_answered_letter_by_letter(provider: Provider, signed_in: Visitor) -> None:
    for uri, joint in (
        ("https://rp.example/cb?foo=bar|baz&empty=", "&"),
        ("https://RP.example/cb?", ""),
        ("https://rp..example/a%2fb/../[x]", "?"),
        ("com.example.app:///cb", "?"),
        ("com.example.app:cb", "?"),
    ):
        client = provider.relying_party(name="Exact", is_first_party=True, redirect_uris=(uri,))

        assert ask(client, signed_in).address.startswith(f"{uri}{joint}code=")


@pytest.mark.spec("RFC 8252", "7.3")
def test_a_loopback_redirect_may_have_any_port_and_nothing_else(cli_app: RelyingParty, signed_in: Visitor) -> None:
    answer = cli_app.authorize(signed_in, redirect_uri="http://127.0.0.1:51004/callback")
    assert answer.address.startswith("http://127.0.0.1:51004/callback?code=")

    for other in (
        "http://127.0.0.1:51004/other",
        "http://localhost:51004/callback",
        "https://127.0.0.1:51004/callback",
    ):
        refused = ask(cli_app, signed_in, redirect_uri=other)
        assert refused.response.status_code == 400
        assert not refused.response.location
