"""Purging one-time things, denials and budgets: each goes when it means nothing any more, and never earlier."""

from datetime import timedelta
from functools import partial

import pytest

from idp.db.models import (
    AuthorizationCode,
    DeniedAccessToken,
    GuessBudget,
    StoredRequest,
    TokenFamily,
)
from idp.tokens import Issued, Refused
from idp.users import reserve_guess
from tests.retention.purging import count, purge, put_aside
from tests.support.heart import Heart, race

DAY = timedelta(days=1)


def test_one_time_things_stay_a_day_beyond_their_end_and_then_go(heart: Heart) -> None:
    client, session = heart.client(), heart.sign_in(heart.person())
    heart.tokens_for(session, client)
    heart.code(session, client)
    put_aside(heart)
    ends_at = heart.now + heart.settings.stored_request_lifetime

    heart.clock.moment = ends_at + DAY
    assert purge(heart)["stored_requests"] == 0
    assert count(heart, StoredRequest) == [1]

    heart.clock.advance(seconds=1)
    gone = purge(heart)

    assert (gone["stored_requests"], gone["authorization_codes"]) == (1, 0)
    assert count(heart, StoredRequest, AuthorizationCode) == [0, 0]


@pytest.mark.spec("RFC 6749", "4.1.2")
def test_a_code_used_twice_within_the_day_is_still_found_out(heart: Heart) -> None:
    client, session = heart.client(), heart.sign_in(heart.person(), keep_signed_in=True)
    code = heart.code(session, client)
    issued = heart.redeem(code, client)
    assert isinstance(issued, Issued)

    heart.clock.advance(hours=23)
    purge(heart)
    assert isinstance(heart.redeem(code, client), Refused)

    assert heart.family(issued).revoked_at is not None


def test_a_code_of_a_session_that_just_ended_is_not_taken_from_under_its_redemption(heart: Heart) -> None:
    client, person = heart.client(), heart.person()
    session = heart.sign_in(person)
    code = heart.code(session, client)
    heart.end(person, session.session_id)

    assert purge(heart)["authorization_codes"] == 0
    assert isinstance(heart.redeem(code, client), Refused)


def test_redeeming_a_code_that_is_being_purged_is_refused_and_no_error(heart: Heart) -> None:
    client, session = heart.client(), heart.sign_in(heart.person(), keep_signed_in=True)
    codes = [heart.code(session, client) for _ in range(6)]
    heart.clock.advance(days=2)

    outcomes = race([partial(purge, heart), *(partial(heart.redeem, code, client) for code in codes)])[1:]

    assert all(isinstance(outcome, Refused) for outcome in outcomes)


def test_denials_budgets_and_tokens_of_services_go_when_they_mean_nothing_any_more(heart: Heart) -> None:
    service = heart.client(redirect_uris=[], grant_types=("client_credentials",))
    heart.service_tokens(service)
    with heart.database.transaction() as tx:
        reserve_guess(
            tx, person="ada", address="192.0.2.1", now=heart.now, settings=heart.settings, keyring=heart.keyring
        )
        tx.add(DeniedAccessToken(jti="j", expires_at=heart.now + timedelta(minutes=5), denied_at=heart.now))
    heart.clock.advance(minutes=6)
    assert purge(heart) == dict.fromkeys(purge(heart), 0)
    assert count(heart, DeniedAccessToken, GuessBudget, TokenFamily) == [1, 2, 1]

    heart.clock.advance(minutes=11)
    assert {name: gone for name, gone in purge(heart).items() if gone} == {
        "denied_access_tokens": 1,
        "guess_budgets": 2,
    }
    heart.clock.advance(hours=25)

    assert {name: gone for name, gone in purge(heart).items() if gone} == {"client_credentials": 1}
    assert count(heart, DeniedAccessToken, GuessBudget, TokenFamily) == [0, 0, 0]
