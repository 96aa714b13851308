"""The claim `logout_reason`: for applications that asked for it, in coarse words, as of the moment of the end."""

from typing import Any

import jwt
import pytest

from idp import outbox
from idp.db.models import Client, EndReason, LogoutDelivery
from idp.logout.logout_token import make_logout_token
from idp.outbox.logout_reason import LogoutReason, logout_reason_of
from tests.support.characters import Provider
from tests.support.heart import Heart

ADDRESS = "https://app.example/logout"


def claims_of(provider: Provider) -> list[dict[str, Any]]:
    """What the notices that are due would say."""
    heart = provider.heart
    with heart.database.transaction() as tx:
        claimed = outbox.claim_due(tx, holder="w", limit=10, now=heart.now, settings=heart.settings)
    signer = provider.services.keys.signer("ES256", heart.now)
    tokens = [make_logout_token(one, signer=signer, issuer="http://localhost", now=heart.now) for one in claimed]
    return [jwt.decode(token, options={"verify_signature": False}) for token in tokens]


def end(heart: Heart, client: Client, reason: EndReason) -> None:
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id, reason=reason)


def test_only_an_application_that_asked_is_told_why(provider: Provider) -> None:
    heart = provider.heart
    end(heart, heart.client(backchannel_logout_uri=ADDRESS, wants_logout_reason=True), EndReason.IDLE)
    end(heart, heart.client(backchannel_logout_uri=ADDRESS), EndReason.IDLE)

    claims = claims_of(provider)

    assert sorted(claim.get("logout_reason", "-") for claim in claims) == ["-", "idle"]
    assert all("nonce" not in claim for claim in claims)


def test_what_is_told_is_decided_when_the_session_ends(provider: Provider) -> None:
    heart = provider.heart
    client = heart.client(backchannel_logout_uri=ADDRESS, wants_logout_reason=True)
    end(heart, client, EndReason.ENDED_BY_ADMINISTRATOR)
    heart.change(client, wants_logout_reason=False)

    assert [delivery.logout_reason for delivery in heart.all(LogoutDelivery)] == ["administrator"]
    assert claims_of(provider)[0]["logout_reason"] == "administrator"


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_becomes_one_of_the_documented_words(reason: EndReason) -> None:
    assert logout_reason_of(reason) in set(LogoutReason)


@pytest.mark.parametrize("reason", [EndReason.USER_DISABLED, EndReason.USER_DELETED, EndReason.OTHER_PERSON_SIGNED_IN])
def test_what_became_of_the_person_or_of_somebody_else_is_not_told(reason: EndReason) -> None:
    assert logout_reason_of(reason) is LogoutReason.OTHER
