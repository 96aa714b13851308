"""RP-initiated logout: the cookie decides, nobody is sent to an unregistered address, and it is really over."""

import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from idp.db.models import EndReason, LogoutDelivery, Session, StoredRequest
from tests.support.characters import Provider, RelyingParty, Tokens
from tests.support.heart import HandClock
from tests.support.pages import Page, Visitor

AFTER = "https://rp.example/signed-out?from=op"
SESSION_COOKIE = "idp_session"
OFFLINE = "openid offline_access"


@pytest.fixture
def wiki(provider: Provider) -> RelyingParty:
    return provider.relying_party(
        name="Wiki",
        post_logout_redirect_uris=(AFTER,),
        backchannel_logout_uri="https://rp.example/backchannel",
    )


@pytest.fixture
def tokens(wiki: RelyingParty, signed_in: Visitor) -> Tokens:
    return wiki.sign_in(signed_in)


def logout(**parameters: Any) -> str:
    return "/oauth2/logout?" + urlencode(parameters, doseq=True)


def live(provider: Provider) -> int:
    return len(provider.heart.all(Session, Session.ended_at.is_(None)))


@pytest.mark.spec("RP-Initiated Logout", "2")
def test_a_hint_of_this_browsers_session_signs_out_without_a_question(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor, tokens: Tokens
) -> None:
    answer = signed_in.get(logout(id_token_hint=tokens.id_token, post_logout_redirect_uri=AFTER, state="a b&c=é"))

    assert answer.status_code == 303
    assert answer.location.startswith(AFTER + "&state=")
    assert parse_qs(urlsplit(answer.location).query) == {"from": ["op"], "state": ["a b&c=é"]}
    [session] = provider.heart.all(Session)
    assert session.end_reason == EndReason.SIGNED_OUT_BY_APPLICATION
    assert signed_in.cookie(SESSION_COOKIE) is None
    assert wiki.refresh(tokens).error == "invalid_grant"
    assert wiki.authorize(signed_in, prompt="none").error == "login_required"
    assert [delivery.client_id for delivery in provider.heart.all(LogoutDelivery)] == [wiki.id]


def test_without_state_nothing_is_added_to_the_address(signed_in: Visitor, tokens: Tokens) -> None:
    answer = signed_in.get(logout(id_token_hint=tokens.id_token, post_logout_redirect_uri=AFTER))

    assert answer.location == AFTER


@pytest.mark.spec("RP-Initiated Logout", "2")
def test_an_expired_hint_is_as_good_as_a_fresh_one(
    clock: HandClock, signed_in: Visitor, wiki: RelyingParty, tokens: Tokens
) -> None:
    clock.advance(hours=20)

    answer = signed_in.get(logout(id_token_hint=tokens.id_token, post_logout_redirect_uri=AFTER))

    assert answer.location == AFTER


def test_a_hint_of_another_session_asks_and_ends_only_what_the_cookie_says(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor, tokens: Tokens
) -> None:
    elsewhere = provider.visitor()
    elsewhere.sign_in("ada")

    question = elsewhere.get(logout(id_token_hint=tokens.id_token, post_logout_redirect_uri=AFTER))
    assert urlsplit(question.location).path == "/logout"
    assert live(provider) == 2
    form = elsewhere.page(question.location).form("/logout")
    answer = elsewhere.submit(form, button="logout-confirm")

    assert answer.location == AFTER
    assert live(provider) == 1
    assert signed_in.get("/account/sessions").status_code == 200


def test_without_a_hint_the_person_is_asked_and_may_stay(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor
) -> None:
    question = signed_in.get(logout(client_id=wiki.id, post_logout_redirect_uri=AFTER, state="s"))
    page = signed_in.page(question.location)

    assert {"logout-confirm", "logout-cancel"} <= page.ids
    assert "Wiki" in page.text
    assert live(provider) == 1


def test_a_question_counts_once_and_a_second_tab_signs_out_without_going_anywhere(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor
) -> None:
    question = signed_in.get(logout(client_id=wiki.id, post_logout_redirect_uri=AFTER))
    form = signed_in.page(question.location).form("/logout")

    first = signed_in.submit(form, button="logout-confirm")
    again = signed_in.get(question.location)

    assert first.location == AFTER
    assert again.location == "/signed-out"


def test_a_question_of_one_browser_is_worth_nothing_in_another(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor
) -> None:
    question = signed_in.get(logout(client_id=wiki.id, post_logout_redirect_uri=AFTER))
    stranger = provider.visitor()
    stranger.sign_in("ada")

    page = stranger.page(question.location)

    assert "Wiki" not in page.text
    answer = stranger.submit(page.form("/logout"), button="logout-confirm")
    assert answer.location.startswith("/signed-out/")


def test_an_app_sessions_hint_ends_that_app_and_then_offers_to_sign_out_the_browser(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor
) -> None:
    app = wiki.sign_in(signed_in, scope=OFFLINE)
    other_app = wiki.sign_in(signed_in, scope=OFFLINE)

    question = signed_in.get(logout(id_token_hint=app.id_token))
    page = signed_in.page(question.location)

    assert wiki.refresh(app).error == "invalid_grant"
    assert wiki.refresh(other_app).error is None
    assert "is signed out" in page.text
    assert "logout-confirm" in page.ids


def test_no_session_left_means_no_question(provider: Provider, wiki: RelyingParty, browser: Visitor) -> None:
    """Lesson 6."""
    assert browser.get(logout()).location == "/signed-out"
    answer = browser.get(logout(client_id=wiki.id, post_logout_redirect_uri=AFTER, state="x"))
    assert answer.location == AFTER + "&state=x"
    page = browser.page("/signed-out")
    assert "You are signed out" in page.text


@pytest.mark.spec("RP-Initiated Logout", "2")
def test_a_post_from_another_site_without_our_cookie_works_like_a_get(
    provider: Provider, signed_in: Visitor, tokens: Tokens
) -> None:
    cross_site = provider.app.test_client(use_cookies=False)  # what SameSite=Lax makes of it
    posted = cross_site.post(
        "/oauth2/logout", data={"id_token_hint": tokens.id_token, "post_logout_redirect_uri": AFTER, "state": "1"}
    )
    assert posted.status_code == 303

    answer = signed_in.get(posted.location)

    assert answer.location == AFTER + "&state=1"
    assert live(provider) == 0


def test_a_posted_request_is_taken_up_once(provider: Provider, signed_in: Visitor, wiki: RelyingParty) -> None:
    posted = provider.post("/oauth2/logout", {"client_id": wiki.id, "post_logout_redirect_uri": AFTER})
    signed_in.get(posted.location)

    again = signed_in.get(posted.location)

    page = signed_in.page(again.location)
    assert "Wiki" not in page.text


def test_our_own_sign_out_shows_a_receipt_with_the_application_and_the_moment_of_the_last_access(
    provider: Provider, signed_in: Visitor, tokens: Tokens
) -> None:
    form = signed_in.page("/logout").form("/logout")

    answer = signed_in.submit(form, button="logout-confirm")

    receipt = signed_in.get(answer.location)
    assert receipt.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in receipt.headers["X-Robots-Tag"]
    assert "no-store" in receipt.headers["Cache-Control"]
    page = Page(receipt.text)
    assert "You are signed out" in page.text
    assert "Wiki" in page.text
    assert "Access that was already given out stops" in page.text
    elsewhere = Page(provider.visitor().get(answer.location).text)
    assert "Wiki" not in elsewhere.text
    assert "1 application" in elsewhere.text


def test_a_sign_out_form_without_its_csrf_token_ends_nothing(provider: Provider, signed_in: Visitor) -> None:
    form = signed_in.page("/logout").form("/logout")

    refused = signed_in.submit(form, csrf_token="")
    assert refused.status_code == 400
    assert live(provider) == 1

    assert signed_in.submit(form).status_code == 303
    assert live(provider) == 0


# ── The negative table: each refusal beside its repaired request ──────────────────────────────────────────────────────


def tampered(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def unsigned(token: str) -> str:
    import base64

    _, body, _ = token.split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT", "kid": "x"}).encode()).decode().rstrip("=")
    return f"{head}.{body}."


BAD: dict[str, Any] = {
    "address not registered": lambda t: {"post_logout_redirect_uri": "https://evil.example/"},
    "address extended": lambda t: {"post_logout_redirect_uri": AFTER + "&x=1"},
    "address with a slash more": lambda t: {"post_logout_redirect_uri": "https://rp.example/signed-out/?from=op"},
    "address empty": lambda t: {"post_logout_redirect_uri": ""},
    "address missing": lambda t: {"post_logout_redirect_uri": None},
    "address with a NUL": lambda t: {"post_logout_redirect_uri": AFTER + "\x00"},
    "address twice": lambda t: {"post_logout_redirect_uri": [AFTER, AFTER]},
    "hint tampered": lambda t: {"id_token_hint": tampered(t.id_token)},
    "hint unsigned": lambda t: {"id_token_hint": unsigned(t.id_token)},
    "hint is an access token": lambda t: {"id_token_hint": t.access_token},
    "hint is a refresh token": lambda t: {"id_token_hint": t.refresh_token},
    "hint is junk": lambda t: {"id_token_hint": "." * 2000},
    "hint oversized": lambda t: {"id_token_hint": "a" * 60_000},
    "hint twice": lambda t: {"id_token_hint": [t.id_token, t.id_token]},
    "hint and client_id missing": lambda t: {"id_token_hint": None},
    "client_id of another": lambda t: {"client_id": "another"},
    "client_id with a NUL": lambda t: {"client_id": "\x00"},
    "state twice": lambda t: {"state": ["1", "2"]},
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_request_redirects_nobody_and_the_repaired_one_does(
    provider: Provider, wiki: RelyingParty, signed_in: Visitor, tokens: Tokens, name: str, method: str
) -> None:
    good: dict[str, Any] = {"id_token_hint": tokens.id_token, "post_logout_redirect_uri": AFTER, "client_id": wiki.id}
    bad = {key: value for key, value in {**good, **BAD[name](tokens)}.items() if value is not None}
    if "client_id" not in BAD[name](tokens) and name.startswith("hint"):
        del bad["client_id"]
        if name == "hint and client_id missing":
            bad.pop("id_token_hint", None)

    refused = _send(provider, signed_in, method, bad)

    _assert_leads_nowhere_else(provider, signed_in, refused)
    if live(provider) == 0:  # a good hint with a bad address still signs out, as it should
        signed_in.sign_in("ada")
        good["id_token_hint"] = wiki.sign_in(signed_in).id_token
    accepted = _send(provider, signed_in, method, good)
    assert accepted.location == AFTER


def _send(provider: Provider, browser: Visitor, method: str, parameters: dict[str, Any]) -> Any:
    if method == "GET":
        return browser.get(logout(**parameters))
    posted = provider.app.test_client(use_cookies=False).post("/oauth2/logout", data=parameters)
    return browser.get(posted.location) if posted.status_code == 303 else posted


def _assert_leads_nowhere_else(provider: Provider, browser: Visitor, response: Any) -> None:
    for _ in range(4):
        assert response.status_code < 500
        if response.status_code != 303:
            assert response.status_code in {200, 400, 413, 414}
            return
        assert response.location.startswith("/"), response.location
        assert not response.location.startswith("//")
        response = browser.get(response.location)
        if response.status_code == 200 and "logout-confirm" in response.text:
            form = Page(response.text).form("/logout")
            response = browser.submit(form, button="logout-confirm")
    raise AssertionError("the pages lead nowhere")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(browser: Visitor, provider: Provider, method: str) -> None:
    answer = provider.app.test_client().open("/oauth2/logout", method=method)

    assert answer.status_code == 405
    assert {"GET", "POST"} <= {word.strip() for word in answer.headers["Allow"].split(",")}


def test_unreadable_requests_store_nothing(provider: Provider) -> None:
    provider.post("/oauth2/logout", {"state": ["1", "2"]})

    assert provider.heart.all(StoredRequest) == []


@pytest.mark.parametrize("handle", ["x", "a" * 5000, "%00", "..", "0" * 26 + "." + "A" * 22])
def test_an_unknown_receipt_is_a_helpful_404(browser: Visitor, handle: str) -> None:
    answer = browser.get(f"/signed-out/{handle}")

    assert answer.status_code in {400, 404}
    assert "no-store" in answer.headers["Cache-Control"]
