"""The command-line tool: signing in by browser, refreshing through all kinds of trouble, and being signed out."""

import json
import os
import queue
import stat
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3

from examples.cli_app.__main__ import main
from examples.cli_app.problems import Unreachable
from examples.cli_app.provider import Provider
from examples.cli_app.token_file import TokenFile, default_path

CLIENT_ID = "demo-cli"
SIGNED_OUT = "You were signed out of this tool (for example on the account page). Run `login` to sign in again."
ROOT = Path(__file__).parents[2]


class Tool:
    """The tool on one person's machine; `browser` is what happens to the address it opens."""

    def __init__(self, provider, path):
        self.provider = provider
        self.path = path
        self.environment = {
            "OP_ISSUER": provider.issuer,
            "CLI_CLIENT_ID": CLIENT_ID,
            "CLI_APP_TOKEN_FILE": str(path),
        }
        self.opened = []
        self.waits = []
        self.pages = queue.Queue()

    def run(self, *arguments, **changes):
        return main(
            arguments,
            environment=self.environment | changes,
            wait=self.waits.append,
            open_browser=self.open,
        )

    def open(self, address):
        """As `webbrowser` does: it returns at once, and the browser comes by later."""
        self.opened.append(address)
        threading.Thread(target=self.browse, args=(address,), daemon=True).start()

    def browse(self, address):
        self.pages.put(requests.get(address, timeout=5))

    @property
    def tokens(self):
        return json.loads(self.path.read_text())

    def spoil(self, **changes):
        self.path.write_text(json.dumps(self.tokens | changes))

    def let_access_token_expire(self):
        self.spoil(access_expires_at=0)


@pytest.fixture
def tool(provider, tmp_path):
    return Tool(provider, tmp_path / "configuration" / "tokens.json")


@pytest.fixture
def signed_in(tool, capsys):
    assert tool.run("login") == 0
    capsys.readouterr()
    tool.provider.requests.clear()
    return tool


# ── Signing in ────────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── Using and refreshing ──────────────────────────────────────────────────────────────────────────────────────────────


def test_whoami_asks_the_provider(signed_in, capsys):
    assert signed_in.run("whoami") == 0
    assert capsys.readouterr().out == "Ada <Lovelace> (ada@example.com)\n"

    assert signed_in.run("whoami", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sub"] == "person-1"
    assert "/oauth2/token" not in signed_in.provider.requests


def test_status_says_since_when_and_where_the_tokens_are(signed_in, capsys):
    assert signed_in.run("status") == 0

    printed = capsys.readouterr().out
    assert "You are signed in as Ada <Lovelace>" in printed
    assert str(signed_in.path) in printed


def test_an_access_token_near_its_end_is_refreshed_first_and_the_new_refresh_token_kept(signed_in):
    before = signed_in.tokens
    signed_in.let_access_token_expire()

    assert signed_in.run("whoami") == 0

    assert signed_in.tokens["refresh_token"] != before["refresh_token"]
    assert signed_in.tokens["access_token"] != before["access_token"]
    assert signed_in.tokens["signed_in_at"] == before["signed_in_at"]


def test_an_access_token_that_is_refused_early_is_refreshed_once(signed_in, provider, capsys):
    provider.access_tokens.clear()

    assert signed_in.run("whoami") == 0
    assert provider.requests.count("/oauth2/token") == 1


def test_refresh_says_whether_the_refresh_token_is_new(signed_in, provider, capsys):
    assert signed_in.run("refresh") == 0
    assert "a new refresh token" in capsys.readouterr().out

    assert signed_in.run("refresh") == 0
    assert "the same refresh token" in capsys.readouterr().out


def test_refreshing_for_weeks_never_signs_out(signed_in, provider):
    for _ in range(30):
        provider.passed_seconds += 86400
        assert signed_in.run("refresh") == 0

    assert provider.families[0].is_live


@pytest.mark.parametrize("pause", [0, 60])
def test_a_lost_answer_is_asked_for_again_and_nobody_is_signed_out(signed_in, provider, pause):
    def wait(_seconds):
        provider.passed_seconds += pause

    signed_in.let_access_token_expire()
    lose_token_answers(provider, 2)

    assert main(["whoami"], environment=signed_in.environment, wait=wait) == 0

    assert provider.requests.count("/oauth2/token") == 3
    assert provider.families[0].is_live
    assert signed_in.tokens["refresh_token"] == provider.families[0].live_token


def lose_token_answers(provider, count):
    """Lose the answers of the token endpoint only."""
    refresh = provider._refresh

    def losing(token):
        nonlocal count
        answer = refresh(token)
        if count:
            count -= 1
            provider.losing_answers = 1
        return answer

    provider._refresh = losing


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_provider_in_trouble_is_asked_again_with_growing_pauses(signed_in, provider, status):
    provider.failing_with = [status] * 3

    assert signed_in.run("whoami") == 0

    assert len(signed_in.waits) == 3
    assert signed_in.waits == sorted(signed_in.waits)


def test_a_provider_that_stays_away_costs_no_tokens(signed_in, provider, capsys):
    signed_in.let_access_token_expire()
    before = signed_in.tokens
    provider.is_down = True

    for command in ("whoami", "status", "refresh"):
        assert signed_in.run(command) == 4
        assert "Nothing has changed" in capsys.readouterr().err
    assert signed_in.tokens == before

    provider.is_down = False
    assert signed_in.run("whoami") == 0


def test_an_answer_that_no_provider_gives_costs_no_tokens(signed_in, provider):
    signed_in.let_access_token_expire()
    before = signed_in.tokens
    provider._refresh = lambda _token: ("<html>Welcome to the hotel</html>", 200)

    assert signed_in.run("whoami") == 4
    assert signed_in.tokens == before


@pytest.mark.parametrize("error", ["invalid_client", "temporarily_unavailable", "invalid_request"])
def test_only_invalid_grant_ends_the_sign_in_here(signed_in, provider, capsys, error):
    signed_in.let_access_token_expire()
    before = signed_in.tokens
    provider._refresh = lambda _token: ({"error": error, "error_description": "no\x1b[2Jway"}, 400)

    assert signed_in.run("whoami") == 1

    assert "\x1b" not in capsys.readouterr().err
    assert signed_in.tokens == before


# ── Signed out ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["whoami", "status", "refresh"])
def test_being_signed_out_elsewhere_is_said_plainly_and_the_tokens_go(signed_in, provider, capsys, command):
    provider.end(provider.families[0])

    assert signed_in.run(command) == 3
    assert capsys.readouterr().err == SIGNED_OUT + "\n"
    assert not signed_in.path.exists()

    assert signed_in.run(command) == 3
    assert "You are not signed in" in capsys.readouterr().err


@pytest.mark.spec("RFC 7009", "2.1")
def test_logout_ends_the_sign_in_here_and_at_the_provider(signed_in, provider, capsys):
    assert signed_in.run("logout") == 0

    assert capsys.readouterr().out == "You are signed out.\n"
    assert not signed_in.path.exists()
    assert not provider.families[0].is_live


def test_logout_without_a_network_still_forgets_the_tokens_and_says_what_is_left_to_do(signed_in, provider, capsys):
    provider.is_down = True

    assert signed_in.run("logout") == 4

    assert "account page" in capsys.readouterr().err
    assert not signed_in.path.exists()


def test_logout_without_a_sign_in_is_no_error(tool, capsys):
    assert tool.run("logout") == 0
    assert capsys.readouterr().out == "You were not signed in.\n"


def test_tokens_of_one_provider_are_never_sent_to_another(signed_in, provider, capsys):
    signed_in.spoil(issuer="https://other.example")

    assert signed_in.run("whoami") == 3

    assert "You are signed in at https://other.example" in capsys.readouterr().err
    assert provider.requests == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"issuer": 1}', "\x00"])
def test_a_spoiled_file_counts_as_signed_out(signed_in, capsys, content):
    signed_in.path.write_text(content)

    assert signed_in.run("status") == 3


def test_a_file_that_cannot_be_read_is_said_plainly(signed_in, capsys):
    signed_in.path.unlink()
    signed_in.path.mkdir()

    assert signed_in.run("status") == 1
    assert "can't be used" in capsys.readouterr().err


# ── Several copies at once ────────────────────────────────────────────────────────────────────────────────────────────


def run_copies(tool, count, **changes):
    command = [sys.executable, "-m", "examples.cli_app", "whoami"]
    environment = {"PATH": os.environ["PATH"], **tool.environment, **changes}
    copies = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [(*copy.communicate(timeout=60), copy.returncode) for copy in copies]


def test_copies_that_refresh_at_once_refresh_once(signed_in, provider):
    signed_in.let_access_token_expire()

    outcomes = run_copies(signed_in, 6)

    assert {outcome[2] for outcome in outcomes} == {0}, outcomes
    assert provider.requests.count("/oauth2/token") == 1


def test_copies_without_locks_survive_by_the_providers_leeway(signed_in, provider):
    signed_in.let_access_token_expire()

    outcomes = run_copies(signed_in, 6, CLI_APP_NO_LOCK="1")

    assert {outcome[2] for outcome in outcomes} == {0}, outcomes
    assert provider.families[0].is_live
    assert signed_in.tokens["refresh_token"] == provider.families[0].live_token


def test_a_logout_during_a_refresh_is_not_undone(signed_in, provider):
    signed_in.let_access_token_expire()
    refresh = provider._refresh

    def refresh_while_another_copy_signs_out(token):
        signed_in.path.unlink()
        return refresh(token)

    provider._refresh = refresh_while_another_copy_signs_out

    assert signed_in.run("whoami") == 3
    assert not signed_in.path.exists()


def test_a_sign_in_during_a_refused_refresh_is_kept(signed_in, provider):
    signed_in.let_access_token_expire()
    fresh = signed_in.tokens | {"refresh_token": "another", "access_expires_at": 9e9}

    def refuse_while_another_copy_signs_in(_token):
        signed_in.path.write_text(json.dumps(fresh))
        return {"error": "invalid_grant"}, 400

    provider._refresh = refuse_while_another_copy_signs_in

    assert signed_in.run("refresh") == 0
    assert signed_in.tokens == fresh


def test_a_write_that_fails_keeps_the_file_as_it_was(signed_in, monkeypatch):
    before = signed_in.tokens
    file = TokenFile(signed_in.path)
    tokens = file.load()
    assert tokens

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        file.save(tokens)

    assert signed_in.tokens == before
    assert sorted(path.name for path in signed_in.path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


def test_the_file_stands_where_the_desktop_wants_configuration(tmp_path):
    assert default_path({"CLI_APP_TOKEN_FILE": "/a/b"}) == Path("/a/b")
    assert default_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/cli-app-example/tokens.json")
    assert default_path({}) == Path.home() / ".config/cli-app-example/tokens.json"
