"""The characters of HTTP tests: `provider` (the whole application), `browser`, `signed_in`, `rp`, `cli_app`, `service`.

A relying party speaks in terse verbs (`sign_in`, `redeem`, `refresh`, `revoke` …) and every verb is one real HTTP
exchange; a browser fills in the pages that really came. They hide how a flow is walked, never a fact under test.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import jwt
import pytest
from werkzeug.test import TestResponse

from idp import clients, keys, users
from idp.app import create_app
from idp.clients import ClientSpec
from idp.db.engine import db
from idp.db.models import Client, User
from idp.kit.opaque import Secret
from idp.settings import Settings
from idp.web.services import EXTENSION, Services
from tests.support.economy import share_templates
from tests.support.heart import HandClock, Heart
from tests.support.pages import FIREFOX, PASSWORD, Page, Visitor
from tests.support.statements import statements_of

ISSUER = "http://localhost"
RP_REDIRECT = "https://rp.example/callback"
CLI_REDIRECT = "http://127.0.0.1/callback"


@cache
def usual_password_hash() -> str:
    """Hashed once per run: it is slow on purpose."""
    return users.hash_password(Secret(PASSWORD))


@dataclass
class Answer:
    """What came back to a client's redirect URI, or (status 4xx) the page that was shown instead."""

    fields: dict[str, str]
    response: TestResponse
    address: str = ""

    @property
    def code(self) -> str:
        assert "code" in self.fields, self.fields or (self.response.status_code, Page(self.response.text).text)
        return self.fields["code"]

    @property
    def error(self) -> str | None:
        return self.fields.get("error")


class Tokens:
    """An answer of the token endpoint: the tokens, or the error."""

    def __init__(self, response: TestResponse) -> None:
        self.response = response
        self.status = response.status_code
        self.body: dict[str, Any] = response.get_json()
        self.error: str | None = self.body.get("error")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        assert self.error is None, self.body
        assert name in self.body, f"the answer has no {name}: {sorted(self.body)}"
        return self.body[name]

    def __contains__(self, name: str) -> bool:
        return name in self.body


class Provider:
    """The application, on the test's own database and clock."""

    def __init__(self, heart: Heart, settings: Settings, *, makes_key: bool = True) -> None:
        self.heart = heart
        self.settings = settings
        self.app = create_app(settings, clock=heart.clock)
        self.app.testing = True
        share_templates(self.app)
        self.services: Services = self.app.extensions[EXTENSION]
        if makes_key:
            self.keys("ES256")

    def keys(self, algorithm: str) -> None:
        """Make a signing key that is active now."""
        now = self.heart.now
        with self.heart.database.transaction() as tx:
            keys.create_key(tx, algorithm=algorithm, keyring=self.heart.keyring, now=now, activates_at=now)
        self.services.keys.forget()

    def visitor(self, *, address: str = "192.0.2.7", user_agent: str = FIREFOX) -> Visitor:
        """A new browser, without cookies."""
        return Visitor(self.app.test_client(), address, user_agent)

    def person(self, name: str = "ada", **given: Any) -> User:
        """Somebody with an account and the usual password."""
        with self.heart.database.transaction() as tx:
            user = users.create_user(
                tx,
                email=f"{name}@example.com",
                username=name,
                password_hash=usual_password_hash(),
                now=self.heart.now,
                **{"claims": {}, **given},
            )
        assert isinstance(user, User)
        return user

    def relying_party(self, **spec: Any) -> "RelyingParty":
        """A registered client: a confidential web application unless `spec` says otherwise."""
        given = {"name": "Wiki", "redirect_uris": (RP_REDIRECT,), **spec}
        with self.heart.database.transaction() as tx:
            created = clients.create_client(tx, spec=ClientSpec(**given), now=self.heart.now)
        assert not isinstance(created, list), created
        return RelyingParty(self, created.client, created.secret)

    def post(self, path: str, form: Any, *, headers: dict[str, str] | None = None) -> TestResponse:
        """A form from a program: no cookies."""
        return self.app.test_client(use_cookies=False).post(
            self.settings.issuer_path + path, data=form, headers=headers or {}
        )

    def get(self, path: str, *, headers: dict[str, str] | None = None) -> TestResponse:
        """A GET from a program."""
        return self.app.test_client(use_cookies=False).get(self.settings.issuer_path + path, headers=headers or {})

    def walk(self, browser: Visitor, response: TestResponse, *, name: str = "ada", decision: str = "allow") -> Answer:
        """Go through our pages like a person who signs in and then allows (or denies), until a client is answered."""
        for _ in range(8):
            location = response.location or ""
            if response.status_code == 303 and not location.startswith("/"):
                return Answer(dict(parse_qsl(urlsplit(location).query)), response, location)
            if response.status_code == 303:
                response = browser.get(location)
                continue
            if response.status_code >= 400:
                return Answer({}, response)
            page = Page(response.text)
            if "login-submit" in page.forms[0].buttons:
                response = browser.submit(page.forms[0], button="login-submit", username=name, password=PASSWORD)
            elif "consent-allow" in page.forms[0].buttons:
                response = browser.submit(page.forms[0], button=f"consent-{decision}")
            else:
                assert "form-post-continue" in page.forms[0].buttons, page.text
                return Answer(page.forms[0].fields, response, page.forms[0].action)
        raise AssertionError("the pages lead nowhere")


class RelyingParty:
    """A client of the provider: what it sends, and what it makes of the answers."""

    def __init__(self, provider: Provider, client: Client, secret: Secret | None) -> None:
        self.provider = provider
        self.client = client
        self.id = client.id
        self.secret = secret.reveal() if secret else None
        self.redirect_uri = client.redirect_uris[0] if client.redirect_uris else ""
        self.verifier = secrets.token_urlsafe(48)

    # ── The browser's part ──

    def request(self, **changes: str | list[str] | None) -> dict[str, Any]:
        """The parameters of an authorization request; None leaves one out."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        usual: dict[str, Any] = {
            "client_id": self.id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": "openid",
            "state": "st-1",
            "nonce": "no-1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def address(self, **changes: str | list[str] | None) -> str:
        """Where the client sends the browser."""
        query = urlencode(self.request(**changes), doseq=True)
        return f"{self.provider.settings.issuer_path}/oauth2/authorize?{query}"

    def authorize(
        self, browser: Visitor, *, name: str = "ada", decision: str = "allow", **changes: str | list[str] | None
    ) -> Answer:
        """Send the browser to the provider and wait for the answer; the person signs in and decides where asked."""
        return self.provider.walk(browser, browser.get(self.address(**changes)), name=name, decision=decision)

    def sign_in(self, browser: Visitor, **changes: Any) -> Tokens:
        """The whole flow, up to tokens."""
        return self.redeem(self.authorize(browser, **changes).code)

    # ── The back channel ──

    def authentication(self) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and form fields by which this client authenticates, as it is registered."""
        match self.client.token_endpoint_auth_method:
            case "none":
                return {}, {"client_id": self.id}
            case "client_secret_post":
                return {}, {"client_id": self.id, "client_secret": self.secret or ""}
            case _:
                pair = f"{quote_plus(self.id)}:{quote_plus(self.secret or '')}"
                return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}, {}

    def post(self, path: str, **form: Any) -> TestResponse:
        """An authenticated form to one of the endpoints for programs; None leaves a field out."""
        headers, fields = self.authentication()
        merged = {name: value for name, value in {**fields, **form}.items() if value is not None}
        return self.provider.post(path, merged, headers=headers)

    def redeem(self, code: str, /, **changes: Any) -> Tokens:
        """Exchange a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return Tokens(self.post("/oauth2/token", **(form | changes)))

    def refresh(self, tokens: Tokens | str, /, **changes: Any) -> Tokens:
        """Exchange a refresh token."""
        text = tokens if isinstance(tokens, str) else tokens.refresh_token
        return Tokens(self.post("/oauth2/token", **({"grant_type": "refresh_token", "refresh_token": text} | changes)))

    def client_credentials(self, **changes: Any) -> Tokens:
        """Tokens for the client itself."""
        return Tokens(self.post("/oauth2/token", **({"grant_type": "client_credentials"} | changes)))

    def revoke(self, token: str, /, **changes: Any) -> TestResponse:
        """Revoke a token."""
        return self.post("/oauth2/revoke", **({"token": token} | changes))

    def introspect(self, token: str, /, **changes: Any) -> dict[str, Any]:
        """Ask what a token is worth."""
        answer: dict[str, Any] = self.post("/oauth2/introspect", **({"token": token} | changes)).get_json()
        return answer

    def userinfo(self, tokens: Tokens | str) -> TestResponse:
        """Ask about the person."""
        text = tokens if isinstance(tokens, str) else tokens.access_token
        return self.provider.get("/oauth2/userinfo", headers={"Authorization": f"Bearer {text}"})

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a JWT of the provider, its signature checked with the published keys."""
        header = jwt.get_unverified_header(token)
        published = self.provider.get("/oauth2/jwks").get_json()["keys"]
        (jwk,) = [jwk for jwk in published if jwk["kid"] == header["kid"]]
        options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            token, jwt.PyJWK(jwk).key, algorithms=[jwk["alg"]], issuer=self.provider.settings.issuer, options=options
        )
        return claims


@pytest.fixture
def clock(hand_clock: HandClock) -> HandClock:
    """The time, moved by hand."""
    return hand_clock


@pytest.fixture
def open_provider(heart: Heart) -> Iterator[Callable[..., Provider]]:
    """Makes the application with changed settings; several on one database are several nodes."""
    opened: list[Provider] = []

    def make(**changes: Any) -> Provider:
        heart.with_settings(**{"issuer": ISSUER, **changes})
        opened.append(Provider(heart, heart.settings))
        return opened[-1]

    yield make
    for provider in opened:
        with provider.app.app_context():
            db.engine.dispose()


@pytest.fixture
def provider(open_provider: Callable[..., Provider]) -> Provider:
    """The application, with an issuer on this machine."""
    return open_provider()


@pytest.fixture
def ada(provider: Provider) -> User:
    """A person with an account."""
    return provider.person("ada")


@pytest.fixture
def browser(provider: Provider) -> Visitor:
    """A browser in which nobody has signed in."""
    return provider.visitor()


@pytest.fixture
def signed_in(provider: Provider, ada: User, clock: HandClock) -> Visitor:
    """A browser in which Ada signed in a minute ago."""
    visitor = provider.visitor()
    assert visitor.sign_in(ada.username or "").status_code == 303
    clock.advance(minutes=1)
    return visitor


@pytest.fixture
def rp(provider: Provider) -> RelyingParty:
    """A confidential web application."""
    return provider.relying_party(name="Wiki")


@pytest.fixture
def cli_app(provider: Provider) -> RelyingParty:
    """A command-line tool: public, loopback redirect."""
    return provider.relying_party(name="Tool", redirect_uris=(CLI_REDIRECT,), public=True)


@pytest.fixture
def service(provider: Provider) -> RelyingParty:
    """A service that speaks for itself."""
    return provider.relying_party(name="Nightly job", redirect_uris=(), scopes=("reports:read", "reports:write"))


@pytest.fixture
def count_statements(provider: Provider) -> Callable[[], AbstractContextManager[list[str]]]:
    """Collects the statements that the application sends, BEGIN and the like aside."""
    return partial(statements_of, provider.services.database.engine)
