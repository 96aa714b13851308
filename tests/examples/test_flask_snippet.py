"""What `idp clients create` prints for Flask is run as it stands, against the fake provider: in, out, and told."""

from typing import Any

import pytest
from flask import Flask

from idp.cli.snippets import Registered, snippet
from tests.examples.fake_provider import SUB, FakeProvider
from tests.examples.rp_browser import Browser

CLIENT_ID = "wiki"
ADDRESS = "http://127.0.0.1:9001"


@pytest.fixture
def pasted(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the pasted file defines."""
    monkeypatch.setenv("OIDC_CLIENT_SECRET", "secret")
    monkeypatch.setenv("FLASK_SECRET_KEY", "key")
    registered = Registered(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        is_public=False,
        redirect_uri=f"{ADDRESS}/callback",
        signed_out_uri=f"{ADDRESS}/signed-out",
        backchannel_uri=f"{ADDRESS}/backchannel-logout",
        auth_method="client_secret_basic",
        algorithm="ES256",
        scopes=("openid", "profile"),
    )
    names: dict[str, Any] = {"__name__": "pasted"}
    exec(compile(snippet(registered, "flask"), "flask.txt", "exec"), names)
    return names


@pytest.fixture
def app(pasted: dict[str, Any]) -> Flask:
    app: Flask = pasted["app"]

    @app.get("/who")
    def who() -> str:
        user = pasted["current_user"]()
        return user["sub"] if user else "nobody"

    return app


@pytest.fixture
def browser(app: Flask) -> Browser:
    browser = Browser(app)
    signed_in = browser.get(browser.go_to_provider())
    assert (signed_in.status_code, signed_in.location) == (302, "/")
    return browser


def notify(app: Flask, token: str) -> int:
    return app.test_client().post("/backchannel-logout", data={"logout_token": token}).status_code


def test_somebody_signs_in_and_is_known(app: Flask, browser: Browser) -> None:
    assert browser.get("/who").text == SUB
    assert Browser(app).get("/who").text == "nobody"


def test_an_answer_of_another_provider_signs_nobody_in(app: Flask, provider: FakeProvider) -> None:
    provider.authorization_answer = {"iss": "https://other.example"}
    browser = Browser(app)

    assert browser.get(browser.go_to_provider()).status_code == 400
    assert browser.get("/who").text == "nobody"


def test_who_cancels_is_back_at_the_start(app: Flask, provider: FakeProvider) -> None:
    provider.authorization_answer = {"error": "access_denied", "code": None}
    browser = Browser(app)

    answer = browser.get(browser.go_to_provider())

    assert (answer.status_code, answer.location) == (302, "/")
    assert browser.get("/who").text == "nobody"


def test_signing_out_ends_it_here_and_goes_on_to_the_provider_with_the_hint(
    browser: Browser, provider: FakeProvider
) -> None:
    away = browser.post("/sign-out")

    assert browser.get("/who").text == "nobody"
    assert away.location.startswith(f"{provider.issuer}/oauth2/logout?")
    assert "id_token_hint=ey" in away.location
    assert f"client_id={CLIENT_ID}" in away.location


@pytest.mark.spec("Back-Channel Logout", "2.7")
def test_a_notice_ends_the_session_that_it_names(app: Flask, browser: Browser, provider: FakeProvider) -> None:
    assert notify(app, provider.logout_token(CLIENT_ID, sid="another")) == 200
    assert browser.get("/who").text == SUB

    assert notify(app, provider.logout_token(CLIENT_ID, sid=provider.families[0].sid)) == 200
    assert browser.get("/who").text == "nobody"


@pytest.mark.spec("Back-Channel Logout", "2.6")
@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example"},
        {"aud": "somebody-else"},
        {"exp": 1},
        {"exp": None},
        {"events": {}},
        {"events": None},
        {"events": "http://schemas.openid.net/event/backchannel-logout"},
        {"nonce": "n"},
        {"typ": "JWT"},
        {"sid": None},
        {"sid": ["a"]},
    ],
    ids=str,
)
def test_a_notice_that_is_wrong_is_refused_and_ends_nothing(
    app: Flask, browser: Browser, provider: FakeProvider, wrong: dict[str, Any]
) -> None:
    token = provider.logout_token(CLIENT_ID, **{"sid": provider.families[0].sid} | wrong)

    assert notify(app, token) == 400
    assert browser.get("/who").text == SUB


@pytest.mark.parametrize("form", [{}, {"logout_token": ""}, {"logout_token": "a.b.c"}, {"logout_token": "x" * 9000}])
def test_what_is_no_token_is_refused(app: Flask, form: dict[str, str]) -> None:
    assert app.test_client().post("/backchannel-logout", data=form).status_code == 400


def test_while_the_keys_cannot_be_fetched_the_provider_is_asked_to_try_again(
    app: Flask, browser: Browser, provider: FakeProvider
) -> None:
    token = provider.logout_token(CLIENT_ID, sid=provider.families[0].sid)
    provider.is_down = True

    assert notify(app, token) == 503
    provider.is_down = False
    assert notify(app, token) == 200
    assert browser.get("/who").text == "nobody"
