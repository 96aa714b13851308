"""Is this token good now? Each thing that it hangs on makes it worthless by itself, whatever else still stands."""

from datetime import timedelta
from typing import Any

import pytest

from idp import tokens
from idp.db.models import AuditEvent, Client, EndReason, Session, SessionClient, TokenFamily, User
from idp.tokens import Issued
from idp.tokens.jwts import AccessTokenClaims
from tests.support.heart import Heart


def good(heart: Heart, issued: Issued, **claims: Any) -> tuple[bool, bool]:
    """Whether its access token is good, and its refresh token."""
    said = {
        "jti": issued.jti,
        "family_id": issued.family_id,
        "sub": issued.sub,
        "client_id": issued.client_id,
        "audience": (),
        "scope": issued.scope,
        "issued_at": issued.issued_at,
        "expires_at": issued.access_expires_at,
    }
    assert issued.refresh_token is not None
    with heart.database.single_reads() as statements:
        access = tokens.check_access_token(
            statements, claims=AccessTokenClaims(**{**said, **claims}), settings=heart.settings, now=heart.now
        )
        refresh = tokens.check_refresh_token(
            statements,
            token=issued.refresh_token.reveal(),
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )
    return access is not None, refresh is not None


@pytest.mark.parametrize(
    ("model", "moment", "reason"),
    [
        (Client, "disabled_at", None),
        (Client, "deleted_at", None),
        (Client, "sign_in_again_since", None),
        (User, "disabled_at", None),
        (User, "deleted_at", None),
        (TokenFamily, "revoked_at", "revoke_reason"),
        (SessionClient, "ended_at", "end_reason"),
        (Session, "ended_at", "end_reason"),
    ],
)
def test_a_token_is_good_until_anything_that_it_hangs_on_is_not(
    heart: Heart, model: Any, moment: str, reason: str | None
) -> None:
    issued = heart.tokens_for(heart.sign_in(heart.person()), heart.client())
    bystander = heart.tokens_for(heart.sign_in(heart.person()), heart.client())
    assert good(heart, issued) == (True, True)
    family = heart.family(issued)
    row = {Client: family.client_id, User: family.user_id, TokenFamily: family.id, Session: family.session_id}.get(
        model, family.session_client_id
    )

    changed: dict[str, Any] = {moment: heart.now + timedelta(seconds=1)}
    if reason is not None:
        changed[reason] = EndReason.SIGNED_OUT

    heart.change(heart.all(model, model.id == row)[0], **changed)

    assert good(heart, issued) == (False, False)
    assert good(heart, bystander) == (True, True)


def test_a_sign_in_of_the_very_moment_that_its_client_asks_for_is_new_enough(heart: Heart) -> None:
    client = heart.client()
    issued = heart.tokens_for(heart.sign_in(heart.person()), client)

    heart.change(client, sign_in_again_since=heart.now)

    assert good(heart, issued) == (True, True)
    assert isinstance(heart.refresh(issued, client), Issued)


def test_what_others_do_at_the_same_application_changes_nothing(heart: Heart) -> None:
    client, other = heart.client(), heart.person()
    issued = heart.tokens_for(heart.sign_in(heart.person()), client)
    theirs = heart.tokens_for(heart.sign_in(other), client)
    assert good(heart, issued) == good(heart, theirs) == (True, True)

    heart.end(other, theirs.session_id or "")

    assert good(heart, issued) == (True, True)
    assert good(heart, theirs) == (False, False)


def test_an_apps_tokens_are_good_no_longer_than_the_app_may_stay_signed_in_by_its_own_policy(heart: Heart) -> None:
    usual, short = heart.client(), heart.client(app_absolute_lifetime=timedelta(hours=1))
    browser = heart.sign_in(heart.person())
    long_lived, issued = (heart.tokens_for(browser, client, "openid offline_access") for client in (usual, short))

    heart.clock.advance(hours=1, microseconds=-1)
    assert good(heart, issued) == (True, True)
    heart.clock.advance(microseconds=1)

    assert good(heart, issued) == (False, False)
    assert good(heart, long_lived) == (True, True)


@pytest.mark.spec("RFC 7009", "2.1")
def test_a_denied_access_token_is_worthless_and_its_neighbours_are_not(heart: Heart) -> None:
    issued = heart.tokens_for(heart.sign_in(heart.person()), heart.client())

    with heart.database.transaction() as tx:
        for _ in range(2):
            tokens.deny_access_token(
                tx,
                jti=issued.jti,
                client_id=issued.client_id,
                user_id=issued.user_id,
                expires_at=issued.access_expires_at,
                now=heart.now,
            )

    assert good(heart, issued) == (False, True)
    assert good(heart, issued, jti="another") == (True, True)
    [event] = heart.all(AuditEvent, AuditEvent.kind == "access_token_revoked")
    assert (event.client_id, event.user_id) == (issued.client_id, issued.user_id)
    assert event.actor == f"client:{issued.client_id}"


def test_an_access_token_is_worth_nothing_in_the_name_of_another_client_or_family(heart: Heart) -> None:
    issued = heart.tokens_for(heart.sign_in(heart.person()), heart.client())

    assert good(heart, issued, client_id=heart.client().id) == (False, True)
    assert good(heart, issued, family_id="0" * 26) == (False, True)


def test_a_refresh_token_is_good_as_long_as_presenting_it_would_be_answered(heart: Heart) -> None:
    heart.with_settings(lost_answer_lifetime=timedelta(hours=1))
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.clock.advance(minutes=1)
    second = heart.refresh(first, client)
    assert isinstance(second, Issued)

    assert [good(heart, one)[1] for one in (first, second)] == [True, True], "held"
    heart.clock.advance(hours=1)
    assert [good(heart, one)[1] for one in (first, second)] == [True, True], "its successor may never have arrived"
    heart.clock.advance(microseconds=1)
    assert [good(heart, one)[1] for one in (first, second)] == [False, True]
    assert isinstance(heart.refresh(second, client), Issued)
    assert [good(heart, one)[1] for one in (first, second)] == [False, True]
