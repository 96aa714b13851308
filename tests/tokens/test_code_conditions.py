"""Each condition of a code's redemption by itself: who may redeem it, what makes it worthless, and what it leaves."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    Client,
    EndReason,
    LogoutDelivery,
    RefreshBinding,
    Session,
    SessionClient,
    TokenFamily,
    User,
)
from idp.kit.opaque import base64url
from idp.sessions import StartedSession
from idp.tokens import Issued, Refused
from idp.tokens.codes import CodeRefused, CodeRequest, issue_code, makes_app_session
from idp.tokens.issued import access_expiry
from idp.tokens.redemption import _Code, _find_changed_client, _find_mismatch, _Offered
from tests.support.heart import REDIRECT, START, Heart, terms_of

VERIFIER = "v" * 43
CHALLENGE = base64url(hashlib.sha256(VERIFIER.encode()).digest())
INSTANT, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
WITH_PKCE: dict[str, Any] = {"code_challenge": CHALLENGE}
UNSENT: dict[str, Any] = {"redirect_uri_was_sent": False}


@pytest.mark.spec("RFC 6749", "4.1.3")
@pytest.mark.parametrize(
    ("code", "redirect_uri", "verifier", "fits"),
    [
        ({}, REDIRECT, None, True),
        ({"client_id": "another"}, REDIRECT, None, False),
        ({}, REDIRECT + "/", None, False),
        ({}, None, None, False),
        (UNSENT, None, None, True),
        (UNSENT, REDIRECT, None, True),
        (UNSENT, REDIRECT + "/", None, False),
        ({}, REDIRECT, VERIFIER, False),  # RFC 9700 §4.8.2
        (WITH_PKCE, REDIRECT, VERIFIER, True),
        (WITH_PKCE, REDIRECT, None, False),
        (WITH_PKCE, REDIRECT, "w" * 43, False),
        ({"code_challenge": base64url(hashlib.sha256(b"v" * 42).digest())}, REDIRECT, "v" * 42, False),
        ({"code_challenge": base64url(hashlib.sha256(b"v" * 129).digest())}, REDIRECT, "v" * 129, False),
    ],
)
def test_only_the_one_it_was_meant_for_can_redeem_a_code(
    code: dict[str, Any], redirect_uri: str | None, verifier: str | None, fits: bool
) -> None:
    given = {"client_id": "client", "redirect_uri": REDIRECT, "redirect_uri_was_sent": True, "code_challenge": None}

    offered = _Offered(**{**dict.fromkeys(_Offered._fields), **given, **code})
    mismatch = _find_mismatch(offered, terms_of(Client(id="client")), redirect_uri, verifier)

    assert (mismatch is None) == fits


@pytest.mark.parametrize(
    ("client", "code", "is_as_before"),
    [
        ({}, {}, True),
        ({}, {"client_epoch": None}, True),
        ({"disabled_at": START}, {}, False),
        ({"epoch": 4}, {}, False),
        ({"grant_types": ("client_credentials",)}, {}, False),
        ({"sign_in_again_since": START}, {}, True),
        ({"sign_in_again_since": START + INSTANT}, {}, False),
    ],
)
def test_a_client_that_changed_gets_nothing_for_a_code_from_before(
    client: dict[str, Any], code: dict[str, Any], is_as_before: bool
) -> None:
    usual = {"disabled_at": None, "epoch": 3, "grant_types": ("authorization_code",), "sign_in_again_since": None}

    refusal = _find_changed_client(
        _Code(**{**dict.fromkeys(_Code._fields), "client_epoch": 3, "auth_time": START, **code}),
        terms_of(Client(**{**usual, **client})),
    )

    assert (refusal is None) == is_as_before


@pytest.mark.parametrize("binding", RefreshBinding)
@pytest.mark.parametrize("scope", [("openid",), ("openid", "offline_access")])
@pytest.mark.parametrize("grants", [("authorization_code",), ("authorization_code", "refresh_token")])
def test_an_app_session_is_for_who_may_refresh_and_is_not_bound_to_the_browser(
    binding: RefreshBinding, scope: tuple[str, ...], grants: tuple[str, ...]
) -> None:
    client = terms_of(Client(grant_types=grants, refresh_binding=binding))

    is_free = binding is RefreshBinding.STANDALONE or "offline_access" in scope
    assert makes_app_session(client, scope) == ("refresh_token" in grants and is_free)


def test_an_access_token_ends_on_a_whole_second_not_after_its_lifetime_and_never_at_once() -> None:
    now = START + timedelta(microseconds=700_000)

    assert access_expiry(now, 5 * SECOND) == START + 5 * SECOND
    assert access_expiry(START, 5 * SECOND) == START + 5 * SECOND
    assert access_expiry(now, timedelta(microseconds=200_000)) == START + SECOND


# ── On the database ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_code_is_worthless_once_anything_that_it_hangs_on_has_changed(heart: Heart) -> None:
    client = heart.client()
    ended = {"ended_at": START, "end_reason": EndReason.SIGNED_OUT}
    changes: list[tuple[Any, dict[str, Any]]] = [
        (User, {"disabled_at": START}),
        (User, {"deleted_at": START}),
        (User, {"epoch": 1}),
        (Session, ended),
        (Session, {"last_active_at": START - timedelta(days=2), "started_at": START - timedelta(days=2)}),
        (AuthorizationCode, {"expires_at": START}),
        (AuthorizationCode, {"client_epoch": 7}),
    ]
    for model, values in changes:
        browser = heart.sign_in(heart.person())
        code = heart.code(browser, client)
        user_id = heart.session(browser.session_id).user_id
        [row] = heart.all(model, (model.id if model is User else getattr(model, "user_id")) == user_id)  # noqa: B009
        heart.change(row, **values)

        assert isinstance(heart.redeem(code, client), Refused), (model, values)

    assert heart.all(TokenFamily) == heart.all(SessionClient) == []
    assert {code.used_at for code in heart.all(AuthorizationCode)} == {None}
    good = heart.code(heart.sign_in(heart.person()), client)
    heart.clock.advance(seconds=60, microseconds=-1)
    assert isinstance(heart.redeem(good, client), Issued)


def test_a_code_with_another_secret_or_identifier_is_refused_and_stays_good_for_its_holder(heart: Heart) -> None:
    browser, client = heart.sign_in(heart.person()), heart.client()
    code, other = heart.code(browser, client).reveal(), heart.code(browser, client).reveal()
    code_id, _, secret = code.partition(".")

    for offered in (f"{code_id}.{other.partition('.')[2]}", f"{'0' * 26}.{secret}"):
        assert isinstance(heart.redeem(offered, client), Refused), offered

    assert isinstance(heart.redeem(code, client), Issued)


def test_operators_are_told_which_part_of_a_redemption_did_not_fit(heart: Heart) -> None:
    """From outside all of them look the same; in the log each has its cause."""
    client = heart.client()
    code = heart.code(heart.sign_in(heart.person()), client, code_challenge=CHALLENGE)
    tries: list[tuple[Client, dict[str, Any], str]] = [
        (heart.client(), {"code_verifier": VERIFIER}, "code of another client"),
        (client, {"code_verifier": VERIFIER, "redirect_uri": REDIRECT + "/"}, "redirect_uri differs"),
        (client, {"code_verifier": "w" * 43}, "code_verifier does not match"),
    ]
    for asking, given, cause in tries:
        refused = heart.redeem(code, asking, **given)

        assert isinstance(refused, Refused)
        assert refused.detail == cause
    assert isinstance(heart.redeem(code, client, code_verifier=VERIFIER), Issued)


def test_a_redeemed_code_says_when_and_for_which_family_and_a_second_use_ends_that_one_alone(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    code, other = heart.code(browser, client), heart.tokens_for(browser, client)
    heart.clock.advance(seconds=1)
    issued = heart.redeem(code, client)
    assert isinstance(issued, Issued)
    [row] = heart.all(AuthorizationCode, AuthorizationCode.family_id == issued.family_id)
    heart.clock.advance(seconds=1)

    again = heart.redeem(code, client)

    assert isinstance(again, Refused)
    assert row.used_at == START + SECOND
    family = heart.family(issued)
    assert (family.revoked_at, family.revoke_reason) == (heart.now, EndReason.CODE_REUSED)
    assert heart.family(other).revoked_at is None
    [event] = heart.all(AuditEvent, AuditEvent.kind == "code_reused")
    assert (event.user_id, event.client_id, event.session_id) == (person.id, client.id, browser.session_id)
    assert event.details == {"family": issued.family_id}


@pytest.mark.spec("RFC 6749", "4.1.2")
def test_a_second_use_of_an_apps_code_ends_its_app_session_and_nobody_is_told_by_notice(heart: Heart) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri="https://app.example/out")
    browser = heart.sign_in(person)
    code, other = (heart.code(browser, client, "openid offline_access") for _ in range(2))
    issued, beside = heart.redeem(code, client), heart.redeem(other, client)
    assert isinstance(issued, Issued)
    assert isinstance(beside, Issued)

    again = heart.redeem(code, client)

    assert isinstance(again, Refused)
    assert (again.error, again.detail) == ("invalid_grant", EndReason.CODE_REUSED)
    assert {row.id for row in heart.all(Session, Session.ended_at.is_not(None))} == {issued.session_id}
    [event] = heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert (event.user_id, event.client_id, event.actor) == (person.id, client.id, "code")
    assert heart.all(LogoutDelivery) == []
    assert isinstance(heart.refresh(beside, client), Issued)


def test_a_family_begins_with_its_first_token_used_now_in_the_part_that_the_client_joined(heart: Heart) -> None:
    person, client = heart.person(), heart.client(access_token_lifetime=timedelta(minutes=2))
    only_once = heart.client(grant_types=("authorization_code",))
    heart.change(client, participation_idle_lifetime=timedelta(hours=1))
    browser = heart.sign_in(person)
    heart.clock.advance(seconds=5)

    issued, unrefreshable = heart.tokens_for(browser, client), heart.tokens_for(browser, only_once)

    family, bare = heart.family(issued), heart.family(unrefreshable)
    [part] = heart.all(SessionClient, SessionClient.client_id == client.id)
    assert (family.generation, family.parent_generation, family.rotated_at) == (1, None, None)
    assert (family.session_client_id, family.last_used_at, family.sender_constraint_key) == (part.id, heart.now, None)
    assert (part.started_at, part.sweep_at) == (heart.now, heart.now + timedelta(hours=1))
    assert family.access_expires_at == issued.access_expires_at == heart.now + timedelta(minutes=2)
    assert (issued.sid, issued.sub) == (part.sid, person.sub)
    assert (bare.secret_hash, unrefreshable.refresh_token) == (None, None)


def test_no_code_is_issued_for_a_session_that_is_over_or_a_person_or_client_that_changed(heart: Heart) -> None:
    client, closed = heart.client(), heart.client()
    heart.change(closed, disabled_at=heart.now)
    person, gone, deleted = heart.person(), heart.person(), heart.person()
    browser, over = heart.sign_in(person), heart.sign_in(person)
    of_gone, of_deleted = heart.sign_in(gone), heart.sign_in(deleted)
    app = heart.tokens_for(browser, client, "openid offline_access").session_id or ""
    heart.end(person, over.session_id)
    heart.change(gone, disabled_at=heart.now)
    heart.change(deleted, deleted_at=heart.now)

    def refused(session_id: str, asking: Client) -> str:
        with pytest.raises(AssertionError) as caught:
            heart.code(StartedSession(session_id, browser.handle, is_reauthentication=False), asking)
        return str(caught.value).partition("\n")[0]

    for session_id in (over.session_id, of_gone.session_id, of_deleted.session_id, app):
        assert CodeRefused.SESSION_OVER.value in refused(session_id, client)
    assert CodeRefused.OVERTAKEN.value in refused(browser.session_id, closed)


@pytest.mark.parametrize(("expected_epoch", "is_issued"), [(2, False), (3, True), (4, False)])
def test_a_code_is_issued_under_the_epoch_alone_in_which_the_session_was_looked_up(
    heart: Heart, expected_epoch: int, is_issued: bool
) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    heart.change(person, epoch=3)
    asked = CodeRequest(client.id, REDIRECT, True, ("openid",), [], {}, nonce=None, code_challenge=None)

    with heart.database.transaction() as tx:
        code = issue_code(
            tx,
            request=asked,
            session_id=browser.session_id,
            expected_epoch=expected_epoch,
            settings=heart.settings,
            now=heart.now,
        )

    assert (code is not CodeRefused.OVERTAKEN) == is_issued
    assert [row.user_epoch for row in heart.all(AuthorizationCode)] == [3] * is_issued
