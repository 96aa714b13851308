"""Several copies of the command-line tool share one file of tokens, and none signs another out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.cli_app.token_file import TokenFile, default_path

ROOT = Path(__file__).parents[3]


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
