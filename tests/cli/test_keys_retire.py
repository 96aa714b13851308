"""`idp keys retire`, on both databases."""

import pytest

from tests.cli.shell import Shell


def states(shell: Shell) -> dict[str, str]:
    return {key["kid"]: key["state"] for key in shell.json("keys", "list")}


def signing(shell: Shell, algorithm: str = "ES256") -> str:
    return next(
        key["kid"] for key in shell.json("keys", "list") if (key["algorithm"], key["state"]) == (algorithm, "signing")
    )


def test_a_key_with_a_successor_is_retired_and_stays_published_for_a_while(shell: Shell) -> None:
    old = signing(shell)
    shell.json("keys", "rotate", "--algorithm", "ES256", "--immediately")

    retired = shell.json("keys", "retire", old)

    assert (retired["kid"], retired["state"]) == (old, "retired")
    assert retired["unpublished_at"] > retired["retired_at"]
    assert states(shell)[old] == "retired"
    assert signing(shell) != old


def test_a_compromised_key_verifies_nothing_from_now_on(shell: Shell) -> None:
    old = signing(shell)
    shell.json("keys", "rotate", "--algorithm", "ES256", "--immediately")

    assert "verifies nothing any more" in shell.run("keys", "retire", old, "--compromised").output

    assert states(shell)[old] == "compromised"


def test_the_only_key_of_its_algorithm_is_kept_with_the_remedy(shell: Shell) -> None:
    before = states(shell)

    for more in ([], ["--compromised"]):
        sentence = shell.refusal("keys", "retire", signing(shell), *more)
        assert "idp keys rotate --algorithm ES256 --immediately" in sentence

    assert states(shell) == before


@pytest.mark.parametrize("kid", ["nobody", "-hxyz", "-Q9", "--", "ü\x00"])
def test_an_unknown_key_is_told_also_one_that_looks_like_an_option(shell: Shell, kid: str) -> None:
    before = states(shell)

    sentence = shell.refusal("keys", "retire", kid)

    assert "There is no key" in sentence or "Missing argument" in sentence
    assert states(shell) == before


def test_without_a_key_nothing_is_retired(shell: Shell) -> None:
    assert "Missing argument 'KID'" in shell.refusal("keys", "retire")
