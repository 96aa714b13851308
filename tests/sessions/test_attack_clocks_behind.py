"""An end holds on every node, also on one whose clock is a little behind (readiness allows two seconds)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from idp.db.models import Client, User
from idp.sessions import StartedSession
from idp.tokens import Refused
from tests.support.heart import Heart


def _withdraw(heart: Heart, person: User, _browser: StartedSession, client: Client) -> None:
    heart.withdraw(person, client)


@pytest.mark.parametrize("end", [_withdraw, Heart.end_part])
def test_a_code_of_a_client_that_was_ended_is_dead_on_a_node_whose_clock_is_behind(
    heart: Heart, end: Callable[[Heart, User, StartedSession, Client], Any]
) -> None:
    """The session goes on, so the mark on the code is all that stands between it and new tokens."""
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    heart.tokens_for(browser, client)
    code = heart.code(browser, client)
    end(heart, person, browser, client)

    heart.clock.moment -= timedelta(seconds=1.5)
    answer = heart.redeem(code, client)

    assert isinstance(answer, Refused)
