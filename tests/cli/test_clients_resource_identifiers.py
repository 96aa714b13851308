"""`--resource-identifier`: an API that asks about access tokens which were made for it."""

import pytest

from tests.cli.shell import Shell

API = "https://api.example.com"


def identifiers_of(shell: Shell, client_id: str) -> list[str]:
    found: list[list[str]] = [
        row["resource_identifiers"] for row in shell.json("clients", "list") if row["client_id"] == client_id
    ]
    return found[0]


@pytest.mark.spec("RFC 7662", "2.2")
def test_an_api_is_registered_with_the_identifier_that_it_may_introspect(shell: Shell) -> None:
    created = shell.json("clients", "create", "--name", "API", "--service", "--resource-identifier", API)

    assert identifiers_of(shell, created["client_id"]) == [API]


def test_an_identifier_can_be_added_and_taken_away_later(shell: Shell) -> None:
    client_id = shell.json("clients", "create", "--name", "API", "--service")["client_id"]

    shell.json("clients", "update", client_id, "--resource-identifier", API)
    added = identifiers_of(shell, client_id)
    shell.json("clients", "update", client_id, "--resource-identifier", "")

    assert added == [API]
    assert identifiers_of(shell, client_id) == []


def test_a_public_client_can_be_no_such_api(shell: Shell) -> None:
    told = shell.refusal(
        "clients", "create", "--name", "App", "--public", "--redirect-uri", "https://app.example.com/callback",
        "--resource-identifier", API,
    )  # fmt: skip

    assert "resource_identifiers need a client with a secret" in told
    assert shell.json("clients", "list") == []
