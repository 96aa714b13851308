"""The text of a refresh token: canonical, tagged, useless when changed in any place."""

import dataclasses

import pytest

from idp.kit.identifiers import new_identifier
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret
from idp.tokens.refresh_tokens import RefreshToken, read_refresh_token, write_refresh_token
from tests.support.heart import START

RING = Keyring(Secret("one secret of an installation, for tests"))
TOKEN = RefreshToken(new_identifier(7, START), 3, b"0123456789abcdef")


def test_a_token_reads_back_as_what_was_written() -> None:
    text = write_refresh_token(TOKEN, RING).reveal()

    assert text.startswith("idp_rt_")
    assert len(text) == 103
    assert read_refresh_token(text, RING) == TOKEN


def test_every_generation_that_fits_into_the_token_reads_back() -> None:
    for generation in (1, 255, 2**16, 2**24 + 1, 2**32 - 1):
        token = TOKEN.of_generation(generation)
        assert read_refresh_token(write_refresh_token(token, RING).reveal(), RING) == token


def test_a_token_with_any_one_character_changed_is_refused() -> None:
    text = write_refresh_token(TOKEN, RING).reveal()

    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        assert read_refresh_token(text[:place] + other + text[place + 1 :], RING) is None, place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "idp_rt_",
        "idp_rt_" + "A" * 96,
        "idp_rt_" + "A" * 95 + "=",
        "x" * 100_000,
        "idp_rt_" + "é" * 96,
        "idp_rt_\x00" + "A" * 95,
    ],
)
def test_garbage_is_refused(text: str) -> None:
    assert read_refresh_token(text, RING) is None


def test_a_token_of_a_previous_secret_is_good_until_that_secret_is_forgotten() -> None:
    old, new = Secret("the old secret of this installation…"), Secret("the new secret of this installation…")
    text = write_refresh_token(TOKEN, Keyring(old)).reveal()

    assert read_refresh_token(text, Keyring(new, [old])) == TOKEN
    assert read_refresh_token(text, Keyring(new)) is None


def test_a_token_never_shows_its_secret_when_printed() -> None:
    assert "0123456789abcdef" not in repr(TOKEN)
    assert "idp_rt_" not in repr(write_refresh_token(TOKEN, RING))
    assert dataclasses.fields(TOKEN)[2].repr is False
