"""The texts of our mail, as they arrive: lines that nobody has to break, whatever the application is called."""

import pytest

from idp.mail.letters import old_token_used
from idp.settings import Settings
from tests.support.heart import START


@pytest.mark.parametrize(
    "name", ["Wiki", "The documentation wiki of everybody who works on the seventh floor", "a-b" * 20]
)
def test_no_line_is_longer_than_mail_programs_like(name: str) -> None:
    letter = old_token_used(client_name=name, is_app=True, now=START, settings=Settings())

    assert max(map(len, letter.body.splitlines())) <= 78
    assert f"{name} was signed out" in " ".join(letter.body.split())
    assert f"sign in to {name} again" in " ".join(letter.body.split())


def test_the_address_stands_on_a_line_of_its_own_and_is_whole() -> None:
    settings = Settings(
        issuer="https://accounts.of-a-rather-long-domain.example.org/under/a/path/which/is/long/as/well"
    )

    letter = old_token_used(client_name="Wiki", is_app=False, now=START, settings=settings)

    assert f"  {settings.issuer}/account/sessions" in letter.body.splitlines()
