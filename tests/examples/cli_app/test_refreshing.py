"""The command-line tool refreshes through lost answers and trouble; only `invalid_grant` ends its sign-in."""

import json

import pytest

from examples.cli_app.__main__ import main


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
