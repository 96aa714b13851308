"""What `idp clients create` prints for developers to paste: each framework its own, the secret in none."""

import re

import pytest
import yaml

from idp.cli.snippets import SNIPPETS
from tests.cli.registrations import WEB
from tests.cli.shell import Shell


def snippet(shell: Shell, language: str, *more: str) -> str:
    result = shell.run("clients", "create", *WEB, "--snippets", language, *more)
    assert result.exit_code == 0
    assert not re.search(r"@[A-Z_]+@", result.stdout), "a name was not filled in"
    return str(result.stdout)


def body(text: str) -> str:
    """What stands below the first ruled title."""
    return text.split("── ", 1)[1].split("\n", 1)[1]


def test_each_framework_gets_its_own_and_the_secret_is_in_none(shell: Shell) -> None:
    for language, title in SNIPPETS.items():
        text = snippet(shell, language)

        secret = next(line.split()[1] for line in text.splitlines() if line.startswith("client_secret:"))
        assert text.count(secret) == 1
        assert [name for name, other in SNIPPETS.items() if f"── {other} " in text] == [language], title
        assert "OIDC_CLIENT_SECRET" in body(text)
        assert "https://wiki.example/callback" in body(text)


def test_all_are_printed_unless_one_or_none_is_asked_for(shell: Shell) -> None:
    assert all(f"── {title} " in snippet(shell, "all") for title in SNIPPETS.values())
    assert "──" not in snippet(shell, "none")
    assert "stand above" in snippet(shell, "all").splitlines()[-1]
    assert "stand above" not in snippet(shell, "flask")
    assert set(shell.json("clients", "create", *WEB)) == {"client_id", "client_secret", "name"}
    assert "Invalid value for '--snippets'" in shell.refusal("clients", "create", *WEB, "--snippets", "cobol")


def test_a_snippet_says_what_is_still_to_be_registered(shell: Shell) -> None:
    bare = snippet(shell, "flask")
    whole = snippet(
        *(shell, "flask", "--backchannel-logout-uri", "https://wiki.example/bye"),
        *("--post-logout-redirect-uri", "https://wiki.example/out"),
    )

    assert "--backchannel-logout-uri https://wiki.example/backchannel-logout" in bare
    assert "--post-logout-redirect-uri https://wiki.example/" in bare
    assert "Do this first" not in whole
    assert '@app.post("/bye")' in whole
    assert '"https://wiki.example/out"' in whole


def test_spring_is_told_of_its_own_address_and_algorithm(shell: Shell) -> None:
    ready = snippet(
        *(shell, "spring", "--id-token-alg", "RS256", "--post-logout-redirect-uri", "https://wiki.example/"),
        *("--backchannel-logout-uri", "https://wiki.example/logout/connect/back-channel/idp"),
    )

    assert "--id-token-alg RS256" in snippet(shell, "spring")
    assert "Do this first" not in ready
    registration = yaml.safe_load(body(ready).split("---")[0])["spring"]["security"]["oauth2"]["client"]["registration"]
    assert registration["idp"]["redirect-uri"] == "https://wiki.example/callback"
    assert registration["idp"]["scope"] == ["openid", "profile", "email"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_flask_snippet_is_python_that_authenticates_as_registered(shell: Shell, method: str) -> None:
    text = body(snippet(shell, "flask", "--token-endpoint-auth-method", method))

    compile(text, "flask", "exec")
    assert f'token_endpoint_auth_method="{method}"' in text


@pytest.mark.parametrize(
    ("redirect_uri", "guide"),
    [
        ("http://127.0.0.1/cb", "connect-a-command-line-tool.md"),
        ("com.example.app:/cb", "connect-a-command-line-tool.md"),
        ("https://board.example/cb", "connect-a-single-page-app.md"),
    ],
)
def test_a_public_client_is_sent_to_its_guide(shell: Shell, redirect_uri: str, guide: str) -> None:
    result = shell.run("clients", "create", "--name", "Tool", "--redirect-uri", redirect_uri, "--public")

    assert re.findall(r"connect-a-[a-z-]+\.md", result.stdout) == [guide]
    assert "OIDC_CLIENT_SECRET" not in result.stdout
