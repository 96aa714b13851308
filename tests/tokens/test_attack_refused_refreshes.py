"""Refused refreshes leave exactly the marks that they should: none for an honest mistake, all for a reuse."""

from datetime import timedelta

import pytest

from idp import tokens
from idp.db.models import EndReason
from idp.kit.opaque import Secret
from idp.tokens import Issued, Refused
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import Heart
from tests.support.pages import Visitor

OFFLINE = "openid offline_access"


@pytest.mark.parametrize("generation", [1, 9])
def test_a_wider_scope_does_not_hide_a_reused_token_or_one_from_the_future(heart: Heart, generation: int) -> None:
    """The error of the request comes second: the family is over, whatever else was asked (RFC 9700 §4.14.2)."""
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    presented: Secret | Issued = first
    if generation == 9:
        heart.change(heart.family(first), generation=9, parent_generation=8, rotated_at=heart.now)
        renewed = heart.refresh(_of_generation(heart, first, 9), client)
        assert isinstance(renewed, Issued)
        presented = renewed
        heart.change(heart.family(first), generation=4, parent_generation=3)
    else:
        heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)

    answer = heart.refresh(presented, client, scope="openid offline_access email")

    assert isinstance(answer, Refused)
    assert answer.error == "invalid_grant"
    reason = EndReason.REFRESH_TOKEN_REUSE if generation == 1 else EndReason.REFRESH_TOKEN_AHEAD
    assert heart.family(first).revoke_reason == reason


def _of_generation(heart: Heart, issued: Issued, generation: int) -> Secret:
    from idp.tokens.refresh_tokens import read_refresh_token, write_refresh_token

    assert issued.refresh_token is not None
    read = read_refresh_token(issued.refresh_token.reveal(), heart.keyring)
    assert read is not None
    return write_refresh_token(read.of_generation(generation), heart.keyring)


@pytest.mark.parametrize(
    ("leeway", "lost_answer", "after"),
    [
        pytest.param(timedelta(0), timedelta(0), timedelta(seconds=1), id="neither leeway nor lost answers"),
        pytest.param(timedelta(seconds=10), timedelta(0), timedelta(seconds=11), id="no lost answers"),
    ],
)
def test_introspection_does_not_call_active_what_a_refresh_would_refuse(
    heart: Heart, leeway: timedelta, lost_answer: timedelta, after: timedelta
) -> None:
    """A client may have a window of zero; zero is not "the installation's"."""
    client = heart.client(refresh_leeway_lifetime=leeway, lost_answer_lifetime=lost_answer)
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    assert isinstance(heart.refresh(first, client), Issued)
    heart.clock.advance(seconds=after.total_seconds())
    assert first.refresh_token is not None

    with heart.database.single_reads() as statements:
        live = tokens.check_refresh_token(
            statements,
            token=first.refresh_token.reveal(),
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )

    assert live is None
    assert isinstance(heart.refresh(first, client), Refused)


@pytest.mark.spec("RFC 8707", "2.2")
def test_refused_for_its_resource_a_refresh_token_stays_as_it_was(
    provider: Provider, cli_app: RelyingParty, browser: Visitor
) -> None:
    """Else the client, which got no successor, would be taken for a thief a day later."""
    provider.person()
    issued = cli_app.sign_in(browser, scope=OFFLINE)

    refused = cli_app.refresh(issued, resource="https://elsewhere.example")
    provider.heart.clock.advance(days=2)
    again = cli_app.refresh(issued)

    assert refused.error == "invalid_target"
    assert again.error is None
