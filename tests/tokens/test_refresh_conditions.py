"""Each condition of the one statement by itself: what stops a refresh, and which columns of whose row one changes."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from idp import tokens
from idp.db.models import AuditEvent, Client, EndReason, RefreshRotation, Session, SessionClient, TokenFamily, User
from idp.tokens import Issued, Refused
from tests.support.heart import START, Heart

INSTANT, SECOND, MINUTE = timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=1)
EVER = START - timedelta(days=400)


def refreshed(heart: Heart, issued: Issued, client: Client, **given: Any) -> Issued | Refused:
    assert issued.refresh_token is not None
    return tokens.refresh(
        heart.database,
        **{
            "token": issued.refresh_token.reveal(),
            "client_id": client.id,
            "is_authenticated": True,
            "scope": None,
            "settings": heart.settings,
            "keyring": heart.keyring,
            "now": heart.now,
            **given,
        },
    )


def state(heart: Heart, issued: Issued) -> tuple[int, int | None, datetime | None, datetime, datetime]:
    row = heart.family(issued)
    return row.generation, row.parent_generation, row.rotated_at, row.last_used_at, row.access_expires_at


def test_anything_that_a_family_hangs_on_stops_its_refresh_and_leaves_it_as_it_was(heart: Heart) -> None:
    ended = {"ended_at": START, "end_reason": EndReason.SIGNED_OUT}
    changes: list[tuple[Any, dict[str, Any]]] = [
        (User, {"disabled_at": START}),
        (User, {"deleted_at": START}),
        (Client, {"disabled_at": START}),
        (Client, {"deleted_at": START}),
        (Client, {"sign_in_again_since": START + INSTANT}),
        (Client, {"participation_absolute_lifetime": SECOND}),
        (SessionClient, ended),
        (Session, ended),
        (Session, {"auth_time": EVER, "started_at": EVER}),
        (TokenFamily, {"revoked_at": START, "revoke_reason": EndReason.TOKEN_REVOKED}),
        (TokenFamily, {"sender_constraint_key": "thumbprint"}),
    ]
    for model, values in changes:
        heart.clock.moment = START
        client = heart.client()
        issued = heart.tokens_for(heart.sign_in(heart.person()), client)
        family = heart.family(issued)
        before = state(heart, issued)
        ids = {User: family.user_id, Client: client.id, Session: family.session_id, TokenFamily: family.id}
        [row] = heart.all(model, model.id == ids.get(model, family.session_client_id))
        heart.change(row, **values)
        heart.clock.advance(minutes=1)

        assert isinstance(refreshed(heart, issued, client), Refused), (model, values)
        assert state(heart, issued) == before, (model, values)


@pytest.mark.spec("RFC 6749", "6")
def test_who_only_names_a_client_gets_tokens_for_a_public_one_alone(heart: Heart) -> None:
    public, confidential = heart.client(public=True, requires_pkce=True), heart.client()
    heart.change(public, token_endpoint_auth_method="none")
    browser = heart.sign_in(heart.person())
    for client, granted in ((public, Issued), (confidential, Refused)):
        issued = heart.tokens_for(browser, client)

        assert isinstance(refreshed(heart, issued, client, is_authenticated=False), granted)
        assert isinstance(refreshed(heart, issued, client), Issued)


def test_a_rotation_changes_its_own_row_and_a_hold_only_when_it_was_used_and_how_long_its_token_lives(
    heart: Heart,
) -> None:
    browser, client = heart.sign_in(heart.person()), heart.client()
    first, beside = heart.tokens_for(browser, client), heart.tokens_for(browser, client)
    untouched = state(heart, beside)
    heart.clock.advance(minutes=1)

    second = refreshed(heart, first, client)
    rotated = heart.now
    assert isinstance(second, Issued)
    assert state(heart, first) == (2, 1, rotated, rotated, rotated + 5 * MINUTE)
    heart.clock.advance(seconds=10)
    held = [refreshed(heart, one, client) for one in (first, second)]
    assert state(heart, first) == (2, 1, rotated, heart.now, heart.now + 5 * MINUTE)

    for one in held:
        assert isinstance(one, Issued)
        assert (one.outcome, one.refresh_token) == ("held", second.refresh_token)
        assert (one.family_id, one.session_id, one.sid) == (first.family_id, first.session_id, first.sid)
        assert one.access_expires_at == heart.now + 5 * MINUTE
    assert (second.outcome, second.family_id) == ("rotated", first.family_id)
    heart.clock.advance(microseconds=1)
    third = refreshed(heart, second, client)
    assert isinstance(third, Issued)
    assert state(heart, first)[:3] == (3, 2, heart.now)
    assert state(heart, beside) == untouched


def test_a_clock_that_stepped_back_holds_and_takes_nothing_back(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.clock.advance(hours=1)
    second = refreshed(heart, first, client)
    assert isinstance(second, Issued)
    before = state(heart, first)
    heart.clock.advance(minutes=-30)

    again = refreshed(heart, second, client)

    assert isinstance(again, Issued)
    assert (again.outcome, again.issued_at) == ("held", heart.now)
    assert state(heart, first) == before


def test_where_nothing_rotates_the_token_stays_the_same_and_its_use_is_noted(heart: Heart) -> None:
    client = heart.client(refresh_rotation=RefreshRotation.OFF)
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.clock.advance(hours=1)

    again = refreshed(heart, first, client)

    assert isinstance(again, Issued)
    assert (again.outcome, again.refresh_token) == ("held", first.refresh_token)
    assert state(heart, first) == (1, None, None, heart.now, heart.now + 5 * MINUTE)


def test_a_refused_client_is_named_in_the_audit_trail_by_who_presented_and_whose_it_is(heart: Heart) -> None:
    person, client, other = heart.person(), heart.client(), heart.client()
    issued = heart.tokens_for(heart.sign_in(person), client)

    assert isinstance(refreshed(heart, issued, other), Refused)

    [event] = heart.all(AuditEvent, AuditEvent.kind == "refresh_wrong_client")
    assert (event.user_id, event.client_id, event.session_id) == (person.id, client.id, issued.session_id)
    assert (event.actor, event.details) == ("client", {"family": issued.family_id, "presented_by": other.id})


@pytest.mark.spec("RFC 8707", "2.2")
def test_all_that_was_granted_may_be_asked_for_by_name_and_nothing_besides(heart: Heart) -> None:
    client = heart.client()
    resources = ["https://api.example/", "https://files.example/"]
    code = heart.code(heart.sign_in(heart.person()), client, "openid email", resources=resources)
    issued = heart.redeem(code, client)
    assert isinstance(issued, Issued)

    def asked(scope: str, *resources: str) -> Issued | Refused:
        return refreshed(heart, issued, client, scope=tuple(scope.split()), resources=resources)

    whole, doubled = asked("openid email", *resources), asked("openid", resources[0], resources[0])
    wider, elsewhere = asked("openid profile", resources[0]), asked("openid", resources[0], "https://other.example/")

    assert isinstance(whole, Issued)
    assert (whole.scope, whole.resources) == (("openid", "email"), resources)
    assert isinstance(doubled, Issued)
    assert (doubled.scope, doubled.resources) == (("openid",), resources[:1])
    assert isinstance(wider, Refused)
    assert isinstance(elsewhere, Refused)
    assert (wider.error, elsewhere.error) == ("invalid_scope", "invalid_target")
    assert heart.family(issued).scope == ("openid", "email")
    heart.clock.advance(minutes=1)
    lost = asked("openid email", *resources)
    assert isinstance(lost, Issued)
    assert (lost.outcome, lost.scope, lost.resources) == ("skipped", ("openid", "email"), resources)
