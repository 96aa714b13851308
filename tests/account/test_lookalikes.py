"""Copies of one tool are told apart by when they signed in, as exactly as that takes and no more."""

from datetime import UTC, datetime, timedelta

import pytest

from idp.account.lookalikes import Exactness, how_exact
from tests.support.pages import Site

NOON = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
DAY, MINUTE, SECOND = Exactness.DAY, Exactness.MINUTE, Exactness.SECOND


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        (timedelta(days=1), DAY),
        (timedelta(hours=23, minutes=59), MINUTE),  # one day for a reader somewhere
        (timedelta(minutes=1), MINUTE),
        (timedelta(seconds=30), SECOND),
    ],
)
def test_two_copies_say_as_much_as_tells_them_apart(apart: timedelta, expected: Exactness) -> None:
    assert how_exact([("Drydock", NOON), ("Drydock", NOON + apart)]) == [expected, expected]


def test_only_what_looks_alike_says_more() -> None:
    later = NOON + timedelta(hours=1)

    exact = how_exact([("Drydock", NOON), ("Wiki", NOON), ("Drydock", later), ("Drydock", NOON - timedelta(days=3))])

    assert exact == [MINUTE, DAY, MINUTE, DAY]


def test_a_list_may_ask_for_more_of_all() -> None:
    assert how_exact([("Drydock", NOON)], at_least=MINUTE) == [MINUTE]


def test_the_list_its_buttons_and_the_question_tell_two_copies_apart(site: Site) -> None:
    ada = site.person("ada")
    drydock = site.heart.client(name="Drydock CLI")
    browser = site.heart.sign_in(ada)
    first = site.heart.tokens_for(browser, drydock, "openid offline_access")
    site.heart.clock.advance(minutes=7)
    second = site.heart.tokens_for(browser, drydock, "openid offline_access")
    here = site.signed_in("ada")

    devices = here.get("/account/sessions").text
    approver = here.page(f"/account/sessions/{browser.session_id}").text
    question = here.page(f"/account/sessions/end-selected?session={first.session_id}&session={second.session_id}").text

    for moment in ("21 Nov 2026, 09:30 UTC", "21 Nov 2026, 09:37 UTC"):
        assert f'Sign out<span class="hidden-text"> Drydock CLI, signed in {moment}' in devices
        assert f'aria-label="Choose Drydock CLI, signed in {moment}"' in devices
        assert f"Signed in {moment}" in approver
        assert f"Drydock CLI signed in {moment}" in question


def test_what_is_there_once_says_the_day(site: Site) -> None:
    ada = site.person("ada")
    site.heart.sign_in(ada)

    assert "Signed in 21 Nov 2026 Last active" in site.signed_in("ada").page("/account/sessions").text
