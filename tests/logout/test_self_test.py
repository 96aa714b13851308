"""The self-test: an operator's link, ten requests by the worker, and words that a developer can act on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from idp.clients.self_test import make_self_test_link
from idp.db.models import Client
from idp.logout.inspect_token import inspect_logout_token
from idp.logout.sample_notice import sample_notice
from idp.logout.self_test_cases import CASES, case_form
from idp.logout.self_test_words import summarize
from idp.web.services import Services
from idp.worker import run_self_tests
from tests.support.characters import ISSUER, Provider
from tests.support.pages import Page, Visitor
from tests.support.receivers import Receiver, Receivers

OpenServices = Callable[..., Services]
RIGHT = (200, *(400 for _ in CASES[1:]))
NO_STORE = {"Cache-Control": "no-store"}


@pytest.fixture(params=["sqlite"])
def database_backend(request: pytest.FixtureRequest) -> str:
    """The embedded database only: `tests/clients/test_self_test_links.py` runs the rules on both."""
    return str(request.param)


def link_for(provider: Provider, client: Client) -> str:
    with provider.heart.database.transaction() as tx:
        handle, _ = make_self_test_link(tx, client_id=client.id, actor="operator", now=provider.heart.now)
    return f"/developers/self-test/{handle.reveal()}"


def opened(provider: Provider, browser: Visitor, client: Client) -> str:
    """A link, opened in this browser."""
    link = link_for(provider, client)
    response = browser.submit(browser.page(link).form(f"{link}/open"), button="open-self-test")
    assert (response.status_code, response.location) == (303, link)
    return link


def application(provider: Provider, uri: str | None, **spec: Any) -> Client:
    return provider.heart.client(name="Wiki", backchannel_logout_uri=uri, **spec)


def after_a_test(provider: Provider, browser: Visitor, receiver: Receiver, open_services: OpenServices) -> Page:
    """The page after a test of an application that answers as the receiver does."""
    link = opened(provider, browser, application(provider, receiver.uri))
    response = browser.submit(browser.page(link).form(f"{link}/send"), button="send-test")
    assert urlsplit(response.location).path == link
    assert "Being sent." in browser.page(link).text
    assert run_self_tests(open_services(allow=[receiver])) == 1
    return browser.page(link)


# ── What is sent ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("Back-Channel Logout", "2.6")
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("genuine", set()),
        ("forged", {"§2.6 the signature is the issuer's"}),
        ("unsigned", {"§2.6 the signature is the issuer's", "§2.6 the algorithm is the one expected, never none"}),
        ("issuer", {"§2.6 iss is the issuer"}),
        ("audience", {"§2.6 aud names the client"}),
        ("expired", {"§2.6 exp has not passed", "§2.6 iat is a moment just past"}),
        ("nobody", {"§2.6 sub, sid or both"}),
        ("event", {"§2.6 events has the logout event"}),
        ("nonce", {"§2.6 no nonce"}),
    ],
)
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_each_wrong_token_breaks_its_own_rule_and_no_other(
    provider: Provider, algorithm: str, name: str, broken: set[str]
) -> None:
    if algorithm == "RS256":
        provider.keys("RS256")
    client = application(provider, "https://app.example/logout", id_token_signed_response_alg=algorithm)
    now = provider.heart.now
    notice = sample_notice(client, now=now)
    case = next(case for case in CASES if case.name == name)

    form = case_form(case, notice, signer=provider.services.keys.signer(algorithm, now), issuer=ISSUER, now=now)

    found = inspect_logout_token(
        form["logout_token"], keys=provider.services.keys, issuer=ISSUER, client_id=client.id, now=now
    )
    assert {finding.rule for finding in found if not finding.is_kept} == broken


def test_no_token_of_the_test_is_about_anybody_or_passes_for_another_kind(
    provider: Provider, browser: Visitor, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(*RIGHT)

    after_a_test(provider, browser, receiver, open_services)

    assert len(receiver.bodies) == len(CASES)
    assert receiver.bodies[-1] == b""
    for body in receiver.bodies[:-1]:
        [token] = parse_qs(body.decode(), strict_parsing=True)["logout_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
        assert all(claims.get(name, "test-").startswith("test-") for name in ("sub", "sid"))


# ── What the page says ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_application_that_does_all_right_is_told_so(
    provider: Provider, browser: Visitor, receivers: Receivers, open_services: OpenServices
) -> None:
    page = after_a_test(provider, browser, receivers(*RIGHT, headers=NO_STORE), open_services)

    assert "It accepts a genuine notice and refuses every wrong one, as it should." in page.text
    assert page.text.count("Right ") == len(CASES)


def test_an_application_that_accepts_everything_learns_what_that_leads_to(
    provider: Provider, browser: Visitor, receivers: Receivers, open_services: OpenServices
) -> None:
    page = after_a_test(provider, browser, receivers(200), open_services)

    assert "It accepts notices, also 9 of those that it has to refuse." in page.text
    assert "It was accepted. Anybody could sign your people out." in page.text
    assert "Add “Cache-Control: no-store” to the answer" in page.text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, "Redirects are never followed."),
        (400, "Your code refuses a genuine notice."),
        (403, "a CSRF protection"),
        (404, "nothing at the registered address"),
        (405, "takes no POST"),
        (422, "reads no forms"),
        (429, "busy"),
        (503, "Your code failed"),
        (418, "your application refused"),
    ],
)
def test_a_genuine_notice_that_is_not_accepted_has_a_reason_and_nothing_else_is_judged(status: int, words: str) -> None:
    results = [{"case": case.name, "status": status, "failure": None, "no_store": True} for case in CASES]

    summary = summarize(results)

    assert words in summary.verdicts[0].words
    assert summary.tone == "bad"
    assert {verdict.tone for verdict in summary.verdicts[1:]} == {"plain"}


@pytest.mark.parametrize(("status", "tone"), [(400, "good"), (401, "wait"), (500, "wait"), (302, "wait"), (204, "bad")])
def test_a_wrong_notice_is_judged_by_what_it_got(status: int, tone: str) -> None:
    wrong = {"case": "nonce", "status": status, "failure": None, "no_store": False}

    summary = summarize([{"case": "genuine", "status": 204, "failure": None, "no_store": True}, wrong])

    assert summary.verdicts[1].tone == tone


def test_an_application_that_does_not_answer_gets_one_request_and_no_time_outs_in_a_row(
    provider: Provider, browser: Visitor, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(hangs=True)
    link = opened(provider, browser, application(provider, receiver.uri))
    browser.submit(browser.page(link).form(f"{link}/send"), button="send-test")
    provider.heart.with_settings(delivery_request_lifetime=provider.settings.delivery_request_lifetime / 50)

    run_self_tests(open_services(allow=[receiver]))

    page = browser.page(link)
    assert len(receiver.bodies) == 1
    assert "Nobody answered in time." in page.text
    assert page.text.count("Answered not sent") == len(CASES) - 1


def test_an_address_that_may_not_be_dialed_is_blocked_and_says_no_more(
    provider: Provider, browser: Visitor, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(200)
    link = opened(provider, browser, application(provider, receiver.uri))
    browser.submit(browser.page(link).form(f"{link}/send"), button="send-test")

    run_self_tests(open_services())

    page = browser.page(link)
    assert receiver.bodies == []
    assert "does not connect to that address" in page.text


def test_nothing_that_the_application_said_is_shown_or_kept(
    provider: Provider, browser: Visitor, receivers: Receivers, open_services: OpenServices
) -> None:
    receiver = receivers(500, headers={"X-Internal": "the-database-password", "Server": "secret-server"})

    page = after_a_test(provider, browser, receiver, open_services)

    assert "the-database-password" not in page.text
    assert "secret-server" not in page.text


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_looking_at_a_link_opens_nothing_and_tells_nothing_of_the_application(
    provider: Provider, browser: Visitor
) -> None:
    client = application(provider, "https://secret-host.example/logout")
    link = link_for(provider, client)

    for scanner in (provider.visitor(), provider.visitor()):
        text = scanner.get(link).text
        assert client.id not in text
        assert "secret-host" not in text

    assert opened(provider, browser, client)
    assert browser.submit(browser.page(link).form(f"{link}/open")).status_code == 303
    assert "Logout self-test of Wiki" in browser.page(link).text


def test_another_browser_neither_sees_nor_sends(provider: Provider, browser: Visitor) -> None:
    link = opened(provider, browser, application(provider, "https://app.example/logout"))
    form = browser.page(link).form(f"{link}/send")
    thief = provider.visitor()
    thief.get("/login")
    form.fields["csrf_token"] = thief.page("/login").form("/login").fields["csrf_token"]

    seen, sent = thief.get(link), thief.submit(form)

    assert seen.status_code == sent.status_code == 404
    assert "opened in another browser" in seen.text
    assert run_self_tests(provider.services) == 0


@pytest.mark.parametrize("handle", ["x", "a" * 26 + "." + "b" * 22, "é", "x" * 3000])
def test_without_a_good_link_there_is_nothing(provider: Provider, browser: Visitor, handle: str) -> None:
    token = browser.page("/login").form("/login").fields["csrf_token"]

    for response in (
        browser.get(f"/developers/self-test/{handle}"),
        browser.client.post(f"/developers/self-test/{handle}/send", data={"csrf_token": token}),
    ):
        assert response.status_code == 404
        assert "This link does not work any more" in response.text


def test_a_form_from_another_site_sends_nothing(provider: Provider, browser: Visitor) -> None:
    link = opened(provider, browser, application(provider, "https://app.example/logout"))

    refused = browser.client.post(f"{link}/send", data={})

    assert refused.status_code == 400
    assert run_self_tests(provider.services) == 0


def test_asking_again_at_once_is_answered_in_words_and_sends_nothing_more(provider: Provider, browser: Visitor) -> None:
    link = opened(provider, browser, application(provider, "https://app.example/logout"))
    form = browser.page(link).form(f"{link}/send")
    browser.submit(form)

    browser.submit(form)

    assert "A test is under way already." in browser.page(link).text


def test_an_application_without_an_address_is_told_how_to_get_one(provider: Provider, browser: Visitor) -> None:
    client = application(provider, "https://app.example/logout")
    link = opened(provider, browser, client)
    form = browser.page(link).form(f"{link}/send")
    provider.heart.change(client, backchannel_logout_uri=None)

    browser.submit(form)

    page = browser.page(link)
    assert "has registered no back-channel address" in page.text
    assert run_self_tests(provider.services) == 0


# ── What the page shows besides ───────────────────────────────────────────────────────────────────────────────────────


def test_the_request_on_the_page_is_genuine_and_passes_the_inspector(provider: Provider, browser: Visitor) -> None:
    client = application(provider, "https://app.example/logout?from=idp")
    link = opened(provider, browser, client)
    page = browser.page(link)

    answer = browser.submit(page.form("/developers/logout-token"), button="inspect-this")

    assert "POST /logout?from=idp HTTP/1.1" in page.text
    assert "Host: app.example" in page.text
    assert "All is right" in Page(answer.text).text


class _Keys:
    """`jwt.PyJWKClient`, with the provider's keys and without a network."""

    def __init__(self, provider: Provider) -> None:
        self._keys = jwt.PyJWKSet.from_dict(provider.services.keys.jwks(provider.heart.now))

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        kid = jwt.get_unverified_header(token).get("kid")
        for key in self._keys.keys:
            if key.key_id == kid:
                return key
        raise jwt.PyJWKClientError("no such key")


def test_the_code_on_the_page_accepts_the_genuine_notice_and_refuses_every_wrong_one(
    provider: Provider, browser: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = application(provider, "https://app.example/logout")
    link = opened(provider, browser, client)
    monkeypatch.setattr(jwt, "PyJWKClient", lambda uri: {f"{ISSUER}/oauth2/jwks": _Keys(provider)}[uri])
    code = _preformatted(browser.get(link).text, "import jwt")
    names: dict[str, Any] = {}
    exec(code, names)
    now = datetime.now(UTC)  # which the code asks
    signer = provider.services.keys.signer("ES256", provider.heart.now)

    def form(case: Any) -> str:
        notice = sample_notice(client, now=now)
        return case_form(case, notice, signer=signer, issuer=ISSUER, now=now).get("logout_token", "")

    assert names["read_notice"](form(CASES[0]))["aud"] == client.id
    for case in CASES[1:]:
        with pytest.raises(jwt.PyJWTError):
            names["read_notice"](form(case))


def _preformatted(html: str, beginning: str) -> str:
    blocks = [unescape(part.partition("</pre>")[0].partition(">")[2]) for part in html.split("<pre")[1:]]
    return next(block for block in blocks if block.startswith(beginning))


def test_names_of_applications_are_text_in_the_page_and_in_its_code(provider: Provider, browser: Visitor) -> None:
    client = provider.heart.client(
        name='<script>alert("x")</script>', backchannel_logout_uri="https://app.example/logout?q=%22'"
    )
    link = opened(provider, browser, client)

    html = browser.get(link).text

    assert "<script>alert" not in html
    assert json.dumps(client.id) in _preformatted(html, "import jwt")
