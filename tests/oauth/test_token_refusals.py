"""The wire-level table of the token endpoint: each refusal beside its mended request, which gets tokens."""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from werkzeug.test import TestResponse

from idp.clients import ClientSpec, create_client
from tests.support.characters import RP_REDIRECT, Provider, RelyingParty, Tokens
from tests.support.heart import HandClock
from tests.support.pages import Visitor

LONG = "x" * 9000


def check_refusal(response: TestResponse, error: str, status: int = 400) -> None:
    """What every refusal looks like: JSON, not stored, only RFC 6749's characters, nothing but the two members."""
    assert response.status_code == status, response.text
    body = response.get_json()
    assert body["error"] == error, body
    assert body.keys() == {"error", "error_description"}
    assert all(0x20 <= ord(one) <= 0x7E and one not in '"\\' for one in body["error_description"])
    assert response.headers["Cache-Control"] == "no-store"
    assert not response.location


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@pytest.fixture
def own(provider: Provider) -> RelyingParty:
    """A first-party client: codes without a page."""
    return provider.relying_party(name="Own", is_first_party=True, allowed_resources=("https://api.example/",))


# ── The body ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CODE_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"grant_type": None}, "invalid_request"),
    ({"grant_type": ""}, "invalid_request"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": "authorization_code\x00"}, "invalid_request"),
    ({"grant_type": 'x"\\é'}, "unsupported_grant_type"),
    ({"grant_type": ["authorization_code", "authorization_code"]}, "invalid_request"),
    ({"code": None}, "invalid_request"),
    ({"code": ""}, "invalid_request"),
    ({"code": "nonsense"}, "invalid_grant"),
    ({"code": "\x00"}, "invalid_request"),
    ({"code": LONG}, "invalid_request"),
    ({"code": "{code}x"}, "invalid_grant"),
    ({"code": ["{code}", "{code}"]}, "invalid_request"),
    ({"redirect_uri": None}, "invalid_grant"),
    ({"redirect_uri": RP_REDIRECT + "/"}, "invalid_grant"),
    ({"redirect_uri": [RP_REDIRECT, RP_REDIRECT]}, "invalid_request"),
    ({"code_verifier": None}, "invalid_grant"),
    ({"code_verifier": "short"}, "invalid_grant"),
    ({"code_verifier": "A" * 43}, "invalid_grant"),
    ({"code_verifier": "é" * 43}, "invalid_grant"),
    ({"code_verifier": LONG}, "invalid_request"),
    ({"resource": "https://other.example/"}, "invalid_target"),
]


def fill(value: Any, code: str) -> Any:
    """Put the code where the table says so."""
    if isinstance(value, list):
        return [fill(one, code) for one in value]
    return value.replace("{code}", code) if isinstance(value, str) else value


@pytest.mark.spec("RFC 6749", "5.2")
def test_a_wrong_redemption_is_refused_and_leaves_the_code_to_the_right_one(
    own: RelyingParty, signed_in: Visitor
) -> None:
    code = own.authorize(signed_in).code

    for changes, error in CODE_REFUSALS:
        check_refusal(own.redeem(code, **{name: fill(value, code) for name, value in changes.items()}).response, error)

    assert own.redeem(code, unknown_parameter=["a"]).access_token


def test_a_wrong_refresh_is_refused_and_leaves_the_token_to_the_right_one(
    own: RelyingParty, signed_in: Visitor
) -> None:
    first = own.sign_in(signed_in, scope="openid email")
    text = first.refresh_token

    for changes, error in (
        ({"refresh_token": None}, "invalid_request"),
        ({"refresh_token": ""}, "invalid_request"),
        ({"refresh_token": "nonsense"}, "invalid_grant"),
        ({"refresh_token": "idp_rt_" + "A" * 96}, "invalid_grant"),
        ({"refresh_token": text + "A"}, "invalid_grant"),
        ({"refresh_token": text[:-1] + ("A" if text[-1] != "A" else "B")}, "invalid_grant"),
        ({"refresh_token": first.access_token}, "invalid_grant"),
        ({"refresh_token": first.id_token}, "invalid_grant"),
        ({"refresh_token": "\x00"}, "invalid_request"),
        ({"refresh_token": LONG}, "invalid_request"),
        ({"refresh_token": [text, text]}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"scope": "openid  email"}, "invalid_scope"),
        ({"scope": "openid \x07"}, "invalid_scope"),
        ({"scope": "é"}, "invalid_scope"),
    ):
        check_refusal(own.refresh(first, **changes).response, error)

    assert own.refresh(first).access_token


def test_the_body_must_be_a_form_and_the_query_counts_for_nothing(
    provider: Provider, own: RelyingParty, signed_in: Visitor
) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": own.authorize(signed_in).code,
        "redirect_uri": own.redirect_uri,
        "code_verifier": own.verifier,
    }
    headers, _ = own.authentication()
    client = provider.app.test_client(use_cookies=False)

    check_refusal(client.post("/oauth2/token", json=form, headers=headers), "invalid_request")
    check_refusal(client.post("/oauth2/token?" + urlencode(form), headers=headers), "invalid_request")
    check_refusal(client.post("/oauth2/token?" + urlencode(form), data={}, headers=headers), "invalid_request")
    multipart = client.post("/oauth2/token", data=form, headers=headers, content_type="multipart/form-data")
    check_refusal(multipart, "invalid_request")
    urlencoded = client.post(
        "/oauth2/token?code=other&grant_type=password",
        data=form,
        headers=headers,
        content_type="application/x-www-form-urlencoded; charset=utf-8",
    )

    assert urlencoded.status_code == 200


def test_only_post_is_answered(provider: Provider, own: RelyingParty) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        refused = provider.app.test_client().open("/oauth2/token", method=method)

        assert refused.status_code == 405
        assert refused.mimetype == "application/json"
        assert "POST" in refused.headers["Allow"]


def test_oversized_and_undecodable_bodies_are_refused(provider: Provider, own: RelyingParty) -> None:
    client, (headers, _) = provider.app.test_client(), own.authentication()
    for body, statuses in (
        (b"code=" + b"x" * 70_000, {400, 413}),
        (b"a=1&" * 300, {400, 413}),
        (b"code=%FF%FE", {400}),
        (b"code=\xff", {400}),
        (b"code=%ED%A0%80", {400}),
        (b"%00=1", {400}),
    ):
        refused = client.post(
            "/oauth2/token", data=body, headers=headers, content_type="application/x-www-form-urlencoded"
        )

        assert refused.status_code in statuses, body[:20]
        assert refused.get_json()["error"] == "invalid_request"


# ── Codes and time, clients, grants ───────────────────────────────────────────────────────────────────────────────────


def test_a_code_lives_a_minute(own: RelyingParty, signed_in: Visitor, clock: HandClock) -> None:
    late, early = own.authorize(signed_in).code, own.authorize(signed_in).code
    clock.advance(seconds=59)
    assert own.redeem(early).access_token

    clock.advance(seconds=1)

    check_refusal(own.redeem(late).response, "invalid_grant")


def test_codes_and_refresh_tokens_are_worth_nothing_to_another_client(
    provider: Provider, own: RelyingParty, signed_in: Visitor
) -> None:
    other = provider.relying_party(name="Other", is_first_party=True)
    code = own.authorize(signed_in).code

    check_refusal(other.redeem(code, code_verifier=own.verifier).response, "invalid_grant")
    tokens = own.redeem(code)
    check_refusal(other.refresh(tokens.refresh_token).response, "invalid_grant")

    assert own.refresh(tokens).access_token


def test_refusals_of_grants_look_the_same_whatever_the_cause(
    own: RelyingParty, signed_in: Visitor, provider: Provider, clock: HandClock
) -> None:
    other = provider.relying_party(name="Other", is_first_party=True)
    tokens, used = own.sign_in(signed_in), own.authorize(signed_in).code
    own.redeem(used)
    answers = [
        own.redeem("nonsense"),
        own.redeem(used),
        other.redeem(own.authorize(signed_in).code),
        own.redeem(own.authorize(signed_in).code, code_verifier="A" * 43),
        own.refresh("idp_rt_" + "A" * 96),
        other.refresh(tokens.refresh_token),
    ]

    seen = {(a.status, a.response.data, frozenset(k for k, _ in a.response.headers)) for a in answers}

    assert len(seen) == 1


@pytest.mark.spec("RFC 6749", "4.4")
def test_a_service_gets_a_token_for_itself_within_its_rights(
    provider: Provider, service: RelyingParty, own: RelyingParty, cli_app: RelyingParty
) -> None:
    everything = service.client_credentials()
    less = service.client_credentials(scope="reports:read")

    assert everything.scope == "reports:read reports:write"
    assert less.scope == "reports:read"
    assert "refresh_token" not in everything
    assert "id_token" not in everything
    claims = service.read(everything.access_token)
    assert claims["sub"] == f"client:{service.id}"
    assert claims["client_id"] == service.id
    for scope in ("admin", "openid", "reports:read  reports:write"):
        check_refusal(service.client_credentials(scope=scope).response, "invalid_scope")
    check_refusal(service.client_credentials(resource="https://api.example/").response, "invalid_target")
    check_refusal(own.client_credentials().response, "unauthorized_client")
    check_refusal(cli_app.client_credentials().response, "unauthorized_client")
    check_refusal(service.redeem("x").response, "unauthorized_client")


# ── Client authentication ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def attempt(provider: Provider) -> Callable[..., TestResponse]:
    """A client-credentials request with exactly these headers and fields."""

    def post(headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
        return provider.post("/oauth2/token", {"grant_type": "client_credentials", **fields}, headers=headers)

    return post


def check_unauthenticated(response: TestResponse) -> None:
    check_refusal(response, "invalid_client", 401)
    assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert response.get_json()["error_description"] == "The client could not be authenticated."


@pytest.mark.spec("RFC 6749", "2.3")
def test_basic_authentication_takes_the_right_pair_and_nothing_else(
    service: RelyingParty, attempt: Callable[..., TestResponse]
) -> None:
    secret = service.secret or ""
    encoded = base64.b64encode(f"{service.id}:{secret}".encode()).decode()

    assert attempt(basic(service.id, secret)).status_code == 200
    assert attempt(basic(service.id, secret), client_id=service.id).status_code == 200
    assert attempt({"Authorization": "basic " + encoded}).status_code == 200
    for headers in (
        {},
        basic(service.id, secret + "x"),
        basic(service.id, ""),
        basic("", secret),
        basic("unknown", secret),
        basic(service.id + "\x00", secret),
        basic(service.id, "\x00"),
        basic("x" * 65, secret),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + encoded[:-3]},
        {"Authorization": "Basic " + base64.b64encode(service.id.encode()).decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"%FF:%FF").decode()},
        {"Authorization": "Basic " + "A" * 4000},
        {"Authorization": "Bearer " + secret},
        {"Authorization": f"Basic {encoded}, Basic {encoded}"},
    ):
        check_unauthenticated(attempt(headers))


@pytest.mark.spec("RFC 6749", "2.3.1")
def test_basic_credentials_are_form_decoded(provider: Provider, attempt: Callable[..., TestResponse]) -> None:
    service = provider.relying_party(name="Job", redirect_uris=())
    everything_encoded = "".join(f"%{byte:02X}" for byte in (service.secret or "").encode())

    assert attempt(basic(quote_plus(service.id), everything_encoded)).status_code == 200


def test_a_client_authenticates_by_its_registered_method_only_and_by_one(
    provider: Provider, service: RelyingParty, attempt: Callable[..., TestResponse]
) -> None:
    by_post = provider.relying_party(
        name="Poster", redirect_uris=(), token_endpoint_auth_method="client_secret_post", scopes=("x",)
    )
    post_pair = {"client_id": by_post.id, "client_secret": by_post.secret}

    assert attempt(**post_pair).status_code == 200
    check_unauthenticated(attempt(basic(by_post.id, by_post.secret or "")))
    check_unauthenticated(attempt(client_id=service.id, client_secret=service.secret))
    check_unauthenticated(attempt(client_id=service.id))
    check_unauthenticated(attempt(client_id=service.id, client_secret=""))
    check_unauthenticated(attempt(client_id=by_post.id, client_secret=service.secret))
    check_unauthenticated(attempt(client_secret=by_post.secret))
    check_unauthenticated(attempt(client_id=by_post.id, client_assertion="x.y.z", client_assertion_type="urn:x"))
    check_refusal(attempt(basic(service.id, service.secret or ""), **post_pair), "invalid_request")
    check_refusal(attempt(basic(service.id, service.secret or ""), client_secret=service.secret), "invalid_request")
    check_refusal(attempt(basic(service.id, service.secret or ""), client_id=by_post.id), "invalid_request")
    check_refusal(attempt(client_id=[by_post.id] * 2, client_secret=by_post.secret), "invalid_request")


def test_a_public_client_names_itself_and_has_no_secret_to_show(
    provider: Provider, cli_app: RelyingParty, signed_in: Visitor
) -> None:
    code = cli_app.authorize(signed_in).code

    check_unauthenticated(cli_app.redeem(code, client_secret="anything").response)
    check_unauthenticated(cli_app.redeem(code, client_id="unknown").response)
    check_unauthenticated(cli_app.redeem(code, client_id=None).response)
    assert cli_app.redeem(code).access_token


def test_a_stolen_refresh_token_of_a_confidential_client_needs_its_secret(
    provider: Provider, own: RelyingParty, signed_in: Visitor
) -> None:
    tokens = own.sign_in(signed_in)
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}

    check_refusal(provider.post("/oauth2/token", {**form, "client_id": own.id}), "invalid_grant")
    check_unauthenticated(provider.post("/oauth2/token", form))
    check_unauthenticated(provider.post("/oauth2/token", form, headers=basic(own.id, "wrong")))

    assert own.refresh(tokens).access_token


def test_a_disabled_or_deleted_client_is_nobody(provider: Provider, service: RelyingParty) -> None:
    assert service.client_credentials().access_token
    provider.heart.change(service.client, disabled_at=provider.heart.now)
    check_unauthenticated(service.client_credentials().response)
    provider.heart.change(service.client, disabled_at=None)
    assert service.client_credentials().access_token
    provider.heart.change(service.client, deleted_at=provider.heart.now)
    check_unauthenticated(service.client_credentials().response)


def test_a_disabled_public_client_gets_nothing_for_its_code_or_refresh_token(
    provider: Provider, cli_app: RelyingParty, signed_in: Visitor
) -> None:
    tokens, code = cli_app.sign_in(signed_in), cli_app.authorize(signed_in).code
    provider.heart.change(cli_app.client, disabled_at=provider.heart.now)
    check_unauthenticated(cli_app.redeem(code).response)
    check_refusal(cli_app.refresh(tokens).response, "invalid_grant")

    provider.heart.change(cli_app.client, disabled_at=None)

    assert cli_app.redeem(code).access_token
    assert cli_app.refresh(tokens).access_token


def test_a_client_registered_while_we_run_is_known_at_once(provider: Provider) -> None:
    with provider.heart.database.transaction() as tx:
        created = create_client(tx, spec=ClientSpec(name="New"), now=provider.heart.now)
    assert not isinstance(created, list)

    tokens: Tokens = RelyingParty(provider, created.client, created.secret).client_credentials()

    assert tokens.access_token


# ── What a refresh costs ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refresh_reads_no_client_of_a_public_one_and_one_row_of_a_confidential_one(
    provider: Provider,
    own: RelyingParty,
    cli_app: RelyingParty,
    signed_in: Visitor,
    count_statements: Callable[..., Any],
) -> None:
    rotation = 1 if provider.heart.database.engine.dialect.name == "postgresql" else 2  # SQLite reads the row back
    for client, expected in ((cli_app, rotation), (own, rotation + 1)):
        tokens = client.sign_in(signed_in)

        with count_statements() as statements:
            assert client.refresh(tokens).access_token

        assert len(statements) == expected, statements
