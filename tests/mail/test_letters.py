"""The texts of our mail, as they arrive: lines that nobody has to break, whatever the application is called."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from idp.mail.account_letters import account_closed, account_deleted, account_opened, password_set_for_you
from idp.mail.letters import Letter, old_token_used, password_changed, signed_out, too_many_copies, wrapped
from idp.settings import Settings
from tests.support.heart import START

FAR_AWAY = Settings(
    issuer="https://accounts.of-a-rather-long-domain.example.org/under/a/path/which/is/long/as/well/and/goes/on"
)
LETTERS: dict[str, Callable[[str, Settings], Letter]] = {
    "signed_out": lambda name, settings: signed_out(
        why="the people who run this service asked for a new sign-in",
        browsers=10_000,
        apps=10_000,
        now=START,
        settings=settings,
    ),
    "old_token_used": lambda name, settings: old_token_used(
        client_name=name, is_app=True, now=START, settings=settings
    ),
    "too_many_copies": lambda name, settings: too_many_copies(
        client_name=name, count=10_000, now=START, settings=settings
    ),
    "password_changed": lambda name, settings: password_changed(now=START, settings=settings),
    "account_closed": lambda name, settings: account_closed(now=START, settings=settings),
    "account_opened": lambda name, settings: account_opened(now=START, settings=settings),
    "account_deleted": lambda name, settings: account_deleted(now=START, settings=settings),
    "password_set_for_you": lambda name, settings: password_set_for_you(
        is_signed_out=True, now=START, settings=settings
    ),
}
LONG_NAMES = ["Wiki", "The documentation wiki of everybody who works on the seventh floor", "a-b" * 20]


@pytest.mark.parametrize("kind", LETTERS)
@pytest.mark.parametrize("name", LONG_NAMES)
def test_no_line_is_longer_than_mail_programs_like_and_none_ends_early(kind: str, name: str) -> None:
    letter = LETTERS[kind](name, Settings())

    lines = letter.body.splitlines()
    assert letter.kind == kind
    assert max(map(len, lines)) <= 78
    # A line is broken only where the next word would not fit.
    for line, following in pairwise(lines):
        if line and following and not line.startswith("  http") and not following.startswith(("- ", "  http")):
            assert len(f"{line} {following.split()[0]}") > 76, (line, following)


@pytest.mark.parametrize("name", LONG_NAMES)
def test_an_application_is_called_by_its_whole_name(name: str) -> None:
    letter = LETTERS["old_token_used"](name, Settings())

    assert f"{name} was signed out" in " ".join(letter.body.split())
    assert f"sign in to {name} again" in " ".join(letter.body.split())


@pytest.mark.parametrize("kind", sorted(LETTERS.keys() - {"account_closed", "account_deleted"}))
def test_an_address_stands_on_a_line_of_its_own_and_is_whole(kind: str) -> None:
    letter = LETTERS[kind]("Wiki", FAR_AWAY)

    addresses = [line for line in letter.body.splitlines() if "://" in line]
    assert addresses
    assert all(line.startswith(f"  {FAR_AWAY.issuer}/account/") for line in addresses)


def test_paragraphs_items_and_addresses_stay_apart() -> None:
    text = "\nOne\nparagraph.\n\nItems:\n- first,\ngoes on\n- second\n  https://id.example\n"

    assert wrapped(text) == "One paragraph.\n\nItems:\n- first, goes on\n- second\n  https://id.example\n"
