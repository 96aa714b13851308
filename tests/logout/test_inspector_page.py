"""/developers/logout-token: every verdict in words, nothing kept, and no text that hurts."""

import json

import pytest

from idp.kit.opaque import base64url
from idp.logout.sample_notice import shown_request
from tests.support.characters import Provider
from tests.support.pages import Page, Visitor
from tests.support.statements import statements_of

PATH = "/developers/logout-token"


@pytest.fixture(params=["sqlite"])
def database_backend(request: pytest.FixtureRequest) -> str:
    """The embedded database only: the page asks it for nothing but the signing keys."""
    return str(request.param)


def parts(header: bytes, claims: bytes) -> str:
    return f"{base64url(header)}.{base64url(claims)}.x"


@pytest.fixture
def token(provider: Provider) -> str:
    client = provider.heart.client(name="Wiki", backchannel_logout_uri="https://app.example/logout")
    return shown_request(provider.services, client, now=provider.heart.now).token


def inspected(browser: Visitor, token: str, client_id: str = "") -> Page:
    response = browser.submit(browser.page(PATH).form(PATH), button="inspect-token", token=token, client_id=client_id)
    assert response.status_code == 200
    return Page(response.text)


def test_a_good_token_is_right_line_by_line(browser: Visitor, token: str) -> None:
    page = inspected(browser, token)

    assert "All is right, as far as can be said without a client_id." in page.text
    assert page.text.count("Right ") == 12
    assert '"sid": "test-' in page.text


def test_what_is_wrong_is_said_with_its_section(browser: Visitor, token: str) -> None:
    page = inspected(browser, token, "somebody-else")

    assert "1 rule is broken." in page.text
    assert "Wrong aud names the client aud is" in page.text
    assert any(link.endswith("#Validation") for link in page.links.values())


def test_an_expired_token_says_since_when(provider: Provider, browser: Visitor, token: str) -> None:
    provider.heart.clock.advance(minutes=30)

    page = inspected(browser, token)

    assert "2 rules are broken." in page.text
    assert "1680 s ago." in page.text


@pytest.mark.parametrize("pasted", ["logout_token={}", '"{}"', "  {}\n", "{}\r\n"])
def test_what_people_paste_around_a_token_is_no_fault_of_it(browser: Visitor, token: str, pasted: str) -> None:
    broken_by_a_terminal = "\n".join(token[at : at + 76] for at in range(0, len(token), 76))

    assert "All is right" in inspected(browser, pasted.format(broken_by_a_terminal)).text


def test_other_kinds_of_tokens_are_recognized(browser: Visitor, token: str) -> None:
    def typed(kind: str) -> str:
        header = base64url(json.dumps({"typ": kind, "alg": "ES256", "kid": "k"}).encode())
        return ".".join([header, *token.split(".")[1:]])

    assert "This is an access token." in inspected(browser, typed("at+jwt")).text
    assert "ID tokens look like this." in inspected(browser, typed("JWT")).text


@pytest.mark.parametrize(
    "junk",
    [
        "x",
        "a.b.c",
        "." * 9000,
        "a.b.c.d.e",
        "e30.e30.",
        parts(b"{}", b"[" * 3000 + b"]" * 3000),
        parts(b"{}", b'{"a":' * 400 + b"1" + b"}" * 400),
        parts(b'{"alg":["ES256"],"kid":{},"typ":["JWT"]}', b'{"iat":1e400,"exp":NaN,"aud":[{}],"events":[]}'),
        parts(b'{"alg":"ES256","kid":"\\u0000"}', b'{"iat":' + b"9" * 4000 + b"}"),
        parts(b"{}", b'{"iat":-62135596800,"exp":253402300799}'),  # the first second of year 1, the last of 9999
        "x" * 60_000,
        "é☃",
    ],
)
def test_junk_is_answered_in_words(browser: Visitor, junk: str) -> None:
    assert "broken." in inspected(browser, junk).text


def test_what_is_too_large_or_not_there_is_refused(browser: Visitor) -> None:
    form = browser.page(PATH).form(PATH)

    assert browser.submit(form, token="x" * 70_000).status_code == 413
    empty = browser.submit(form, token=" \n")
    assert empty.status_code == 400
    assert "Paste a logout token." in empty.text


def test_a_token_is_shown_as_text_and_never_as_a_page(browser: Visitor) -> None:
    header = base64url(json.dumps({"typ": "<script>alert(1)</script>"}).encode())
    claims = base64url(json.dumps({"sub": "</pre><img src=x onerror=alert(1)>"}).encode())

    form = browser.page(PATH).form(PATH)
    html = browser.submit(form, token=f"{header}.{claims}.x", client_id='"><script>alert(1)</script>').text

    assert "<script>alert" not in html
    assert "<img" not in html


def test_it_asks_nothing_keeps_nothing_and_logs_nothing(
    provider: Provider, browser: Visitor, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inspected(browser, token)
    with statements_of(provider.services.database.engine) as statements:
        inspected(browser, token)

    assert statements == []
    assert token.rpartition(".")[2] not in "".join(capsys.readouterr())
