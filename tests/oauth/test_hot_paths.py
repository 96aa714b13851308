"""The hot paths stay short: how many statements each takes, counted where they leave for the database.

A statement more on one of these is a decision, not an accident: change the number here together with an ADR.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import Visitor

OFFLINE = "openid profile offline_access"
TRANSACTION_WORDS = ("BEGIN", "COMMIT", "ROLLBACK")


@contextmanager
def counted(provider: Provider) -> Iterator[list[str]]:
    """The statements that leave meanwhile, without BEGIN and COMMIT."""
    engine, seen = provider.services.database.engine, []

    def note(_c: object, _u: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(TRANSACTION_WORDS):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def expected(provider: Provider, on_postgresql: int, on_sqlite: int) -> int:
    """SQLite's RETURNING knows only the updated table, so it needs a second look in the same transaction."""
    return on_sqlite if provider.services.database.is_sqlite else on_postgresql


def test_a_public_client_refreshes_in_one_statement(
    provider: Provider, cli_app: RelyingParty, signed_in: Visitor
) -> None:
    tokens = cli_app.sign_in(signed_in, scope=OFFLINE)

    with counted(provider) as rotation:
        answer = cli_app.refresh(tokens)
    with counted(provider) as hold:
        held = cli_app.refresh(tokens)

    assert answer.error is None
    assert held.error is None
    assert len(rotation) == len(hold) == expected(provider, 1, 2), rotation


def test_a_confidential_client_refreshes_in_two(provider: Provider, rp: RelyingParty, signed_in: Visitor) -> None:
    tokens = rp.sign_in(signed_in)

    with counted(provider) as statements:
        answer = rp.refresh(tokens)

    assert answer.error is None
    assert len(statements) == expected(provider, 2, 3), statements


def test_a_refresh_touches_the_session_once_an_hour_and_no_oftener(
    provider: Provider, cli_app: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    tokens = cli_app.sign_in(signed_in, scope=OFFLINE)
    clock.advance(hours=1)

    with counted(provider) as first:
        tokens = cli_app.refresh(tokens)
    clock.advance(seconds=11)
    with counted(provider) as second:
        cli_app.refresh(tokens)

    assert len(first) == len(second) + 1


def test_a_garbage_refresh_token_asks_no_database(provider: Provider, cli_app: RelyingParty) -> None:
    provider.get("/oauth2/jwks")  # keys are read once per process and then every ten seconds

    with counted(provider) as statements:
        answer = cli_app.refresh("idp_rt_" + "A" * 96)

    assert answer.error == "invalid_grant"
    assert statements == []


def test_introspection_takes_two_statements_and_userinfo_one(
    provider: Provider, rp: RelyingParty, signed_in: Visitor
) -> None:
    tokens = rp.sign_in(signed_in)

    with counted(provider) as introspection:
        assert rp.introspect(tokens.access_token)["active"]
    with counted(provider) as userinfo:
        assert rp.userinfo(tokens).status_code == 200

    assert len(introspection) == 2, introspection
    assert len(userinfo) == 1, userinfo


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/oauth2/jwks"])
def test_discovery_and_keys_ask_nothing(provider: Provider, path: str) -> None:
    provider.get(path)

    with counted(provider) as statements:
        assert provider.get(path).status_code == 200

    assert statements == []


def test_the_session_check_of_a_page_is_one_statement(provider: Provider, signed_in: Visitor) -> None:
    signed_in.get("/login")

    with counted(provider) as statements:
        assert signed_in.get("/login").status_code == 303

    assert len(statements) == 1, statements


def test_the_page_of_signed_in_devices_takes_at_most_four(provider: Provider, signed_in: Visitor) -> None:
    signed_in.get("/account/sessions")

    with counted(provider) as statements:
        assert signed_in.get("/account/sessions").status_code == 200

    assert len(statements) <= 4, statements
