"""What the demo application does with logout tokens, good and bad (OpenID Connect Back-Channel Logout 1.0)."""

import base64
import hmac
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.examples.rp_browser import CLIENT_ID, Browser

EVENT = "http://schemas.openid.net/event/backchannel-logout"


def notify(app, *tokens):
    return app.test_client().post("/backchannel-logout", data={"logout_token": list(tokens)})


@pytest.fixture
def family(provider, browser):
    """The one sign-in that the tests end, or fail to end."""
    browser.sign_in()
    return provider.families[0]


@pytest.mark.spec("Back-Channel Logout", "2.7")
def test_a_logout_token_ends_the_session_and_the_page_says_so(app, browser, provider, family):
    answer = notify(app, provider.logout_token(CLIENT_ID, sid=family.sid))

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.state().startswith("You were signed out by the provider at ")
    assert browser.get("/status").json == {"signed_in": False}
    assert browser.post("/details").status_code == 303


@pytest.mark.spec("Back-Channel Logout", "2.7")
def test_only_the_named_session_ends(app, browser, provider, family):
    other = Browser(app)
    other.sign_in()

    notify(app, provider.logout_token(CLIENT_ID, sid=family.sid))

    assert not browser.is_signed_in
    assert other.is_signed_in


@pytest.mark.spec("Back-Channel Logout", "2.6")
def test_a_token_without_sid_ends_all_sessions_of_the_person(app, browser, provider, family):
    other = Browser(app)
    other.sign_in()

    assert notify(app, provider.logout_token(CLIENT_ID)).status_code == 200

    assert not browser.is_signed_in
    assert not other.is_signed_in


def test_a_token_with_sid_alone_ends_the_session(app, browser, provider, family):
    assert notify(app, provider.logout_token(CLIENT_ID, sid=family.sid, sub=None)).status_code == 200

    assert not browser.is_signed_in


@pytest.mark.parametrize("changes", [{"sid": "unknown"}, {"sub": "somebody-else"}])
def test_a_token_for_somebody_else_ends_nothing_and_is_answered_well(app, browser, provider, family, changes):
    token = provider.logout_token(CLIENT_ID, **({"sid": family.sid} | changes))

    assert notify(app, token).status_code == 200
    assert browser.is_signed_in


def test_a_late_notice_spares_a_sign_in_after_the_end(app, browser, provider, family):
    before = int(time.time()) - 3600

    notify(app, provider.logout_token(CLIENT_ID, toe=before))

    assert browser.is_signed_in


def test_a_notice_that_overtakes_the_sign_in_leaves_nobody_signed_in(app, provider, browser):
    callback = browser.go_to_provider()
    assert notify(app, provider.logout_token(CLIENT_ID, sid=provider.families[0].sid)).status_code == 200

    answer = browser.get(callback)

    assert "signed out" in answer.text
    assert browser.state() == "You are not signed in."
    browser.sign_in()
    assert browser.state() == "You are signed in."


@pytest.mark.spec("Back-Channel Logout", "2.6")
def test_a_token_is_used_once(app, browser, provider, family):
    token = provider.logout_token(CLIENT_ID)
    assert notify(app, token).status_code == 200
    provider.passed_seconds += 120
    browser.sign_in()

    again = notify(app, token)

    assert again.status_code == 400
    assert "used before" in again.json["error_description"]
    assert browser.is_signed_in


@pytest.mark.spec("Back-Channel Logout", "2.6")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"typ": "JWT"}, id="typ of an ID token"),
        pytest.param({"typ": "at+jwt"}, id="typ of an access token"),
        pytest.param({"typ": ""}, id="no typ"),
        pytest.param({"iss": "https://other.example"}, id="other issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"aud": "another-client"}, id="other audience"),
        pytest.param({"aud": ["another-client"]}, id="other audiences"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"iat": None}, id="no iat"),
        pytest.param({"iat": "now"}, id="iat is a text"),
        pytest.param({"iat": True}, id="iat is a truth value"),
        pytest.param({"iat": 99_999_999_999}, id="iat in the future"),
        pytest.param({"exp": None}, id="no exp"),
        pytest.param({"exp": 1_000_000_000}, id="expired"),
        pytest.param({"jti": None}, id="no jti"),
        pytest.param({"jti": ""}, id="empty jti"),
        pytest.param({"jti": 7}, id="jti is a number"),
        pytest.param({"events": None}, id="no events"),
        pytest.param({"events": EVENT}, id="events is a text"),
        pytest.param({"events": {"urn:other": {}}}, id="another event"),
        pytest.param({"events": {EVENT: "yes"}}, id="event is a text"),
        pytest.param({"nonce": "n"}, id="nonce"),
        pytest.param({"nonce": ""}, id="empty nonce"),
        pytest.param({"sub": None}, id="neither sub nor sid"),
        pytest.param({"sub": ["person-1"]}, id="sub is a list"),
        pytest.param({"sid": {}}, id="sid is an object"),
        pytest.param({"sid": "é"}, id="sid is not ASCII"),
        pytest.param({"toe": "now"}, id="toe is a text"),
        pytest.param({"header": {"crit": ["b64"], "b64": False}}, id="unknown critical header"),
    ],
)
def test_a_token_with_one_fault_is_refused_and_its_repair_is_taken(app, browser, provider, family, options):
    refused = notify(app, provider.logout_token(CLIENT_ID, **options))

    assert refused.status_code == 400, refused.data
    assert refused.json["error"] == "invalid_request"
    assert refused.headers["Cache-Control"] == "no-store"
    assert browser.is_signed_in
    assert notify(app, provider.logout_token(CLIENT_ID)).status_code == 200
    assert not browser.is_signed_in


def part(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def forgeries(provider):
    """Tokens that claim all the right things under no good signature."""
    good = provider.logout_token(CLIENT_ID)
    header, claims, signature = good.split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    kid = provider.keys[0].kid
    stranger = ECKey.generate_key("P-256", {"kid": kid})
    hs256 = f"{part({'alg': 'HS256', 'kid': kid, 'typ': 'logout+jwt'})}.{claims}"
    mac = hmac.digest(provider.keys[0].as_pem(private=False), hs256.encode(), "sha256")
    own_key = {"alg": "ES256", "typ": "logout+jwt", "jwk": stranger.as_dict(private=False)}
    return {
        "no signature": f"{header}.{claims}.",
        "alg none": f"{part({'alg': 'none', 'typ': 'logout+jwt'})}.{claims}.",
        "public key as secret": f"{hs256}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "stranger's key": provider.logout_token(CLIENT_ID, key=stranger),
        "key in the header": jwt.encode(own_key, body, stranger, ["ES256"]),
        "other claims": f"{header}.{part(body | {'sid': 'x'})}.{signature}",
        "claims are a list": f"{header}.{part([])}.{signature}",
        "header is a list": f"{part([])}.{claims}.{signature}",
        "no JSON": "a.b.c",
        "two parts": f"{header}.{claims}",
        "many dots": "." * 1000,
        "empty": "",
        "NUL": "\0",
        "not ASCII": "é.é.é",
        "too long": "a" * 20000,
    }


@pytest.mark.spec("RFC 8725", "3.1")
def test_forgeries_are_refused(app, browser, provider, family):
    answers = {name: notify(app, token).status_code for name, token in forgeries(provider).items()}

    assert set(answers.values()) == {400}, answers
    assert browser.is_signed_in


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_token_is_needed(app, provider, family, count):
    tokens = [provider.logout_token(CLIENT_ID) for _ in range(count)]

    assert notify(app, *tokens).status_code == 400


def test_a_token_in_the_query_is_not_looked_at(app, browser, provider, family):
    token = provider.logout_token(CLIENT_ID)

    assert app.test_client().post(f"/backchannel-logout?logout_token={token}").status_code == 400
    assert app.test_client().get(f"/backchannel-logout?logout_token={token}").status_code == 405
    assert browser.is_signed_in


def test_a_rotated_key_is_fetched_when_it_is_first_seen(app, browser, provider, family, monkeypatch):
    notify(app, provider.logout_token(CLIENT_ID, sid="unknown"))
    provider.rotate_keys()
    monkeypatch.setattr("examples.relying_party.provider.KEYS_FETCHED_AT_MOST_EVERY_SECONDS", 0)

    assert notify(app, provider.logout_token(CLIENT_ID, sid=family.sid)).status_code == 200
    assert not browser.is_signed_in


def test_tokens_under_unknown_keys_do_not_make_us_fetch_keys_each_time(app, provider, family):
    stranger = ECKey.generate_key("P-256", {"kid": "unknown"})
    before = provider.requests.count("/oauth2/jwks")

    answers = [notify(app, provider.logout_token(CLIENT_ID, key=stranger)).status_code for _ in range(20)]

    assert set(answers) == {400}
    assert provider.requests.count("/oauth2/jwks") - before <= 1


def test_while_keys_cannot_be_fetched_the_provider_is_asked_to_try_again(app, browser, provider, family):
    provider.is_down = True
    assert notify(app, provider.logout_token(CLIENT_ID)).status_code == 503

    provider.is_down = False
    assert notify(app, provider.logout_token(CLIENT_ID)).status_code == 200
    assert not browser.is_signed_in
