"""What a skip, a reuse and a revocation write down, and that they touch nothing else."""

from datetime import timedelta

import pytest
from sqlalchemy import delete

from idp import tokens
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    EndReason,
    LogoutDelivery,
    LogoutEvent,
    MailMessage,
    TokenFamily,
)
from idp.kit.opaque import Secret
from idp.tokens import Issued
from idp.tokens.refresh_tokens import read_refresh_token, write_refresh_token
from tests.support.heart import Heart

OFFLINE = "openid offline_access"
NOTICES = "https://app.example/logout"


def older(heart: Heart, issued: Issued, generation: int) -> Secret:
    assert issued.refresh_token is not None
    read = read_refresh_token(issued.refresh_token.reveal(), heart.keyring)
    assert read is not None
    return write_refresh_token(read.of_generation(generation), heart.keyring)


def revoke(heart: Heart, token: Secret | str | None, client_id: str) -> bool:
    assert token is not None
    with heart.database.transaction() as tx:
        return tokens.revoke_refresh_token(
            tx,
            token=token if isinstance(token, str) else token.reveal(),
            client_id=client_id,
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )


def skipped(heart: Heart) -> tuple[Issued, Issued]:
    """Tokens whose successor was lost, and what the parent got eleven seconds later."""
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    assert isinstance(heart.refresh(first, client), Issued)
    heart.clock.advance(seconds=11)
    again = heart.refresh(first, client)
    assert isinstance(again, Issued)
    return first, again


def test_a_skip_records_when_it_was_and_until_when_its_access_token_lives(heart: Heart) -> None:
    first, again = skipped(heart)

    family = heart.family(first)
    assert (family.generation, family.parent_generation) == (3, 1)
    assert family.rotated_at == family.last_used_at == heart.now
    assert family.access_expires_at == again.access_expires_at == heart.now + timedelta(minutes=5)


def test_a_skip_leaves_every_other_family_as_it_was(heart: Heart) -> None:
    client = heart.client()
    other = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)

    skipped(heart)

    family = heart.family(other)
    assert (family.generation, family.parent_generation, family.rotated_at) == (1, None, None)


def test_a_skip_is_audited_with_what_was_presented_and_what_was_live(heart: Heart) -> None:
    first, _ = skipped(heart)

    [event] = heart.all(AuditEvent, AuditEvent.kind == "refresh_skipped")
    assert event.details == {"family": first.family_id, "presented": 1, "was_live": 2}
    assert (event.user_id, event.client_id, event.session_id) == (first.user_id, first.client_id, first.session_id)
    assert event.actor == "client"


def test_an_hour_since_the_last_touch_is_long_enough_for_another(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    assert first.session_id is not None
    heart.clock.advance(hours=1)

    heart.refresh(first, client)

    assert heart.session(first.session_id).last_active_at == heart.now


@pytest.mark.parametrize(
    ("scope", "where"), [(OFFLINE, "on one of your devices"), ("openid", "in one of your browsers")]
)
def test_reuse_tells_the_person_which_application_and_where(heart: Heart, scope: str, where: str) -> None:
    heart.with_settings(smtp_host="mail.example", mail_from="accounts@example.com")
    client = heart.client(name="Harbour Wiki")
    first = heart.tokens_for(heart.sign_in(heart.person()), client, scope)
    heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)

    heart.refresh(older(heart, first, 2), client)

    [message] = heart.all(MailMessage)
    assert message.user_id == first.user_id
    assert "Harbour Wiki" in message.subject
    assert where in message.body


def test_reuse_is_audited_with_what_was_presented_and_what_was_live_and_its_end_names_the_client(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)

    heart.refresh(older(heart, first, 2), client)

    [event] = heart.all(AuditEvent, AuditEvent.kind == "refresh_reused")
    assert event.details == {"family": first.family_id, "presented": 2, "live": 4}
    assert (event.user_id, event.client_id, event.session_id) == (first.user_id, client.id, first.session_id)
    [end] = heart.all(LogoutEvent)
    assert end.initiating_client_id == client.id
    [ended] = heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert ended.actor == "refresh token"


@pytest.mark.spec("RFC 7009", "2.1")
def test_who_revokes_its_own_token_is_not_told_of_it(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri=NOTICES)
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)

    assert revoke(heart, first.refresh_token, client.id)

    [end] = heart.all(LogoutEvent)
    assert (end.reason, end.initiating_client_id) == (EndReason.TOKEN_REVOKED, client.id)
    assert heart.all(LogoutDelivery) == []
    [ended] = heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert ended.actor == f"client:{client.id}"


def test_a_browser_familys_revocation_is_audited_and_a_second_one_changes_nothing(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri=NOTICES)
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    revoked_at = heart.now
    assert revoke(heart, first.refresh_token, client.id)
    heart.clock.advance(seconds=1)

    assert not revoke(heart, first.refresh_token, client.id)

    assert heart.family(first).revoked_at == revoked_at
    [event] = heart.all(AuditEvent, AuditEvent.kind == "token_revoked")
    assert event.details == {"reason": EndReason.TOKEN_REVOKED, "family": first.family_id}
    assert (event.user_id, event.client_id, event.session_id) == (first.user_id, client.id, first.session_id)
    assert event.actor == f"client:{client.id}"


@pytest.mark.spec("RFC 7009", "2.2")
def test_revoking_garbage_or_a_family_that_is_gone_does_nothing(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    with heart.database.transaction() as tx:
        tx.execute(delete(AuthorizationCode))
        tx.execute(delete(TokenFamily))

    assert not revoke(heart, first.refresh_token, client.id)
    assert not revoke(heart, "idp_rt_garbage", client.id)
