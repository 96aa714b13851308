"""Consents: remembered, united, withdrawn, one in force per person and client."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from idp.clients import (
    ClientSpec,
    CreatedClient,
    create_client,
    find_consent,
    grant_consent,
    list_consents,
    withdraw_consent,
)
from idp.db.engine import Database
from idp.db.models import User
from idp.users import create_user

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def pair(database: Database) -> tuple[str, str]:
    """A person and a client."""
    with database.transaction() as tx:
        user = create_user(tx, email="alice@example.com", password_hash=None, now=NOW)
        created = create_client(tx, spec=ClientSpec(name="Wiki", redirect_uris=("https://wiki.example/",)), now=NOW)
    assert isinstance(user, User)
    assert isinstance(created, CreatedClient)
    return user.id, created.client.id


def test_a_consent_is_remembered_and_grows_with_what_is_allowed_later(
    database: Database, pair: tuple[str, str]
) -> None:
    user_id, client_id = pair
    later = NOW + timedelta(days=1)

    with database.single_reads() as statements:
        assert find_consent(statements, user_id, client_id) is None
    with database.transaction() as tx:
        grant_consent(tx, user_id=user_id, client_id=client_id, scopes=("openid", "email"), now=NOW)
    with database.transaction() as tx:
        grant_consent(tx, user_id=user_id, client_id=client_id, scopes=("openid", "profile"), now=later)

    with database.single_reads() as statements:
        assert find_consent(statements, user_id, client_id) == ("openid", "email", "profile")
    with database.reading() as tx:
        rows = list_consents(tx, user_id)
    assert [(row.client.name, row.granted_at, row.updated_at) for row in rows] == [("Wiki", NOW, later)]


def test_a_withdrawn_consent_is_not_in_force_and_a_new_one_starts_empty(
    database: Database, pair: tuple[str, str]
) -> None:
    user_id, client_id = pair
    with database.transaction() as tx:
        grant_consent(tx, user_id=user_id, client_id=client_id, scopes=("openid", "email"), now=NOW)

    with database.transaction() as tx:
        assert withdraw_consent(tx, user_id=user_id, client_id=client_id, now=NOW)
        assert not withdraw_consent(tx, user_id=user_id, client_id=client_id, now=NOW)
        assert list_consents(tx, user_id) == []
    with database.single_reads() as statements:
        assert find_consent(statements, user_id, client_id) is None
    with database.transaction() as tx:
        granted = grant_consent(tx, user_id=user_id, client_id=client_id, scopes=("openid",), now=NOW)

    assert granted == ("openid",)


def test_consents_given_in_many_tabs_at_once_are_united_in_one_row(
    open_database: Callable[[], Database], pair: tuple[str, str]
) -> None:
    user_id, client_id = pair
    nodes = [open_database(), open_database()]
    scopes = [f"scope-{number}" for number in range(8)]
    barrier = threading.Barrier(len(scopes))
    failures: list[BaseException] = []

    def allow(number: int) -> None:
        try:
            barrier.wait()
            with nodes[number % 2].transaction() as tx:
                grant_consent(tx, user_id=user_id, client_id=client_id, scopes=(scopes[number],), now=NOW)
        except BaseException as failure:  # noqa: BLE001 - shown by the assertion below
            failures.append(failure)

    threads = [threading.Thread(target=allow, args=(number,)) for number in range(len(scopes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with nodes[0].reading() as tx:
        (row,) = list_consents(tx, user_id)
    assert sorted(row.scopes) == scopes


def test_a_consent_that_is_withdrawn_while_it_is_given_anew_is_given_anew(
    open_database: Callable[[], Database], pair: tuple[str, str]
) -> None:
    user_id, client_id = pair
    here, elsewhere = open_database(), open_database()
    given: dict[str, Any] = {"user_id": user_id, "client_id": client_id, "now": NOW}
    with here.transaction() as tx:
        grant_consent(tx, scopes=("openid", "email"), **given)
    withdrawing = threading.Thread(target=_withdraw, args=(elsewhere, given))

    @event.listens_for(here.engine, "before_cursor_execute")
    def _after_the_insert(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT consents.scopes") and not withdrawing.ident:
            withdrawing.start()
            if not here.is_sqlite:  # there it waits for the one writer's place
                withdrawing.join()

    with here.transaction() as tx:
        granted = grant_consent(tx, scopes=("openid",), **given)
    withdrawing.join()

    # SQLite has one writer at a time: there the withdrawal comes after.
    assert granted == (("openid", "email") if here.is_sqlite else ("openid",))
    with here.reading() as tx:
        assert [row.scopes for row in list_consents(tx, user_id)] == ([] if here.is_sqlite else [("openid",)])


def _withdraw(database: Database, given: dict[str, Any]) -> None:
    with database.transaction() as tx:
        assert withdraw_consent(tx, **given)
