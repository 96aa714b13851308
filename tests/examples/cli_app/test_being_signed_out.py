"""The command-line tool is signed out, here or elsewhere, and says so plainly; its tokens go."""

import pytest

SIGNED_OUT = "You were signed out of this tool (for example on the account page). Run `login` to sign in again."


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
