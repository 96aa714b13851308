"""The command-line tool signs in: by browser, as itself, at its own provider, and never by what a stranger sends."""

import stat
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3

from examples.cli_app.problems import Unreachable
from examples.cli_app.provider import Provider
from tests.examples.cli_app.tool import CLIENT_ID


@pytest.mark.spec("RFC 8252", "6")
def test_login_opens_the_browser_and_says_who_is_signed_in(tool, capsys):
    assert tool.run("login") == 0

    printed = capsys.readouterr()
    sent = {name: values[0] for name, values in parse_qs(urlsplit(tool.opened[0]).query).items()}
    assert printed.out == "You are signed in as Ada <Lovelace>.\n"
    assert tool.opened[0] in printed.err
    assert sent["scope"] == "openid profile offline_access"
    assert sent["code_challenge_method"] == "S256"
    assert all(len(sent[name]) >= 43 for name in ("state", "nonce", "code_challenge"))
    assert urlsplit(sent["redirect_uri"]).hostname == "127.0.0.1"
    assert urlsplit(sent["redirect_uri"]).port >= 1024


def test_without_a_browser_the_address_is_only_printed(tool, capsys):
    assert tool.run("login", "--no-browser", "--seconds", "0.1") == 1

    printed = capsys.readouterr().err
    assert f"{tool.provider.issuer}/oauth2/authorize?" in printed
    assert "Nobody signed in" in printed
    assert tool.opened == []
    assert not tool.path.exists()


def test_the_token_file_is_for_its_owner_only_and_leaves_nothing_beside_it(signed_in):
    assert stat.S_IMODE(signed_in.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(signed_in.path.parent.stat().st_mode) & 0o077 == 0
    assert sorted(path.name for path in signed_in.path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


def test_the_page_in_the_browser_shows_no_code_and_keeps_none(tool):
    tool.run("login")
    answer = tool.pages.get(timeout=5)

    assert "close this window" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "code" not in answer.text.lower()


@pytest.mark.spec("RFC 6749", "10.12")
def test_answers_without_our_state_are_ignored_and_the_right_one_still_works(tool, capsys):
    right_browser = tool.browse

    def browse(address):
        redirect_uri = parse_qs(urlsplit(address).query)["redirect_uri"][0]
        state = parse_qs(urlsplit(address).query)["state"][0]
        forged = [
            requests.get(f"{redirect_uri}?code=stolen", timeout=5),
            requests.get(f"{redirect_uri}?code=stolen&state=wrong", timeout=5),
            requests.get(f"{redirect_uri}?code=stolen&state=%C3%A9", timeout=5),
            requests.get(f"{redirect_uri}?code=a&code=b&state={state}", timeout=5),
            requests.get(redirect_uri.replace("/callback", "/favicon.ico"), timeout=5),
            requests.post(redirect_uri, data={"code": "stolen", "state": state}, timeout=5),
        ]
        assert [answer.status_code for answer in forged] == [400, 400, 400, 400, 404, 501]
        right_browser(address)

    tool.browse = browse

    assert tool.run("login", "--seconds", "20") == 0


@pytest.mark.spec("RFC 9207", "2.4")
@pytest.mark.parametrize("issuer", ["https://other.example", None])
def test_an_answer_from_another_issuer_is_refused_before_the_code_is_sent_anywhere(tool, provider, capsys, issuer):
    provider.authorization_answer = {"iss": issuer}

    assert tool.run("login") == 1

    assert "did not come from the provider" in capsys.readouterr().err
    assert "/oauth2/token" not in provider.requests


def test_a_cancelled_sign_in_is_said_plainly(tool, provider, capsys):
    provider.authorization_answer = {"error": "access_denied", "code": None}

    assert tool.run("login") == 1
    assert capsys.readouterr().err.endswith("The sign-in was cancelled.\n")


@pytest.mark.spec("OIDC Core", "3.1.3.7")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "another"},
        {"azp": "another"},
        {"nonce": "another"},
        {"exp": 1},
        {"sub": 7},
    ],
)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(tool, provider, capsys, changes):
    sign = provider.sign
    provider.sign = lambda claims, **options: sign(claims | changes, **options)

    assert tool.run("login") == 1

    assert "ID token is not for this sign-in" in capsys.readouterr().err
    assert not tool.path.exists()


def test_a_code_whose_answer_was_lost_is_not_sent_again(tool, provider):
    def browse(address):
        provider.losing_answers = 0
        answer = requests.get(address, timeout=5, allow_redirects=False)
        provider.losing_answers = 1
        requests.get(answer.headers["Location"], timeout=5)

    tool.browse = browse

    assert tool.run("login") == 4
    assert provider.requests.count("/oauth2/token") == 1


@pytest.mark.spec("OIDC Core", "5.3.2")
def test_a_name_of_somebody_else_is_not_used(tool, provider, capsys):
    provider.profile = {"sub": "somebody-else", "name": "Mallory"}

    assert tool.run("login") == 0
    assert capsys.readouterr().out == "You are signed in as person-1.\n"


def test_a_new_sign_in_ends_the_one_before(signed_in, provider):
    assert signed_in.run("login") == 0

    assert [family.is_live for family in provider.families] == [False, True]


@pytest.mark.parametrize("issuer", ["http://login.example.com", "ftp://localhost", "login.example.com"])
def test_an_issuer_without_https_is_refused(tool, capsys, issuer):
    assert tool.run("login", OP_ISSUER=issuer) == 1
    assert "neither https nor on this machine" in capsys.readouterr().err


def test_a_proxy_of_the_environment_is_used_except_for_this_machine(signed_in, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    assert signed_in.run("whoami") == 0

    away = Provider("https://login.example.com", CLIENT_ID, wait=lambda _seconds: None)

    assert isinstance(away._http, urllib3.ProxyManager)
    with pytest.raises(Unreachable):
        _ = away.metadata


@pytest.mark.parametrize("name", ["OP_ISSUER", "CLI_CLIENT_ID"])
def test_a_missing_setting_is_named(tool, capsys, name):
    assert tool.run("status", **{name: ""}) == 2
    assert name in capsys.readouterr().err


@pytest.mark.spec("OIDC Discovery", "4.3")
def test_metadata_of_another_issuer_is_refused(tool, provider, capsys):
    provider.metadata_changes = {"issuer": "https://other.example"}

    assert tool.run("login") == 1
    assert "another issuer" in capsys.readouterr().err
