"""An end holds on every node, also on one whose clock is a little behind (readiness allows two seconds)."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from idp import sessions
from idp.db.models import Client, EndReason, User
from idp.sessions import Actor, StartedSession
from idp.tokens import Refused
from tests.support.heart import Heart


def _withdraw(heart: Heart, person: User, _browser: StartedSession, client: Client) -> None:
    with heart.database.transaction() as tx:
        sessions.end_client_for_user(
            tx,
            user_id=person.id,
            client_id=client.id,
            reason=EndReason.CONSENT_WITHDRAWN,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )


def _end_part(heart: Heart, person: User, browser: StartedSession, client: Client) -> None:
    with heart.database.transaction() as tx:
        sessions.end_participation(
            tx,
            user_id=person.id,
            session_id=browser.session_id,
            client_id=client.id,
            reason=EndReason.REFRESH_TOKEN_REUSE,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )


@pytest.mark.parametrize("end", [_withdraw, _end_part])
def test_a_code_of_a_client_that_was_ended_is_dead_on_a_node_whose_clock_is_behind(
    heart: Heart, end: Callable[[Heart, User, StartedSession, Client], None]
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
