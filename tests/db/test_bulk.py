"""Many rows at once: stored as the single ones are, in one statement."""

from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import DataError

from idp.db.bulk import insert_rows
from idp.db.models import DeliveryState, LogoutDelivery, LogoutEvent
from idp.kit.identifiers import new_identifier, shard_key_in
from tests.support.heart import Heart
from tests.support.statements import statements_of

TABLE = LogoutDelivery.metadata.tables["logout_deliveries"]
MANY = 2_500  # more than either database takes as parameters of one statement


def row_of(heart: Heart, **changes: Any) -> dict[str, Any]:
    """A row for a notice, like the one that an end has written."""
    [model] = heart.all(LogoutDelivery, LogoutDelivery.sid != "another")
    known = {column.key: getattr(model, column.key) for column in inspect(LogoutDelivery).column_attrs}
    return known | {"id": new_identifier(shard_key_in(model.id), heart.now), "sid": "another"} | changes


@pytest.fixture(autouse=True)
def _one_notice(heart: Heart) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri="https://app.example/logout")
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    assert len(heart.all(LogoutEvent)) == 1


def test_more_rows_than_a_statement_takes_parameters_are_one_statement(heart: Heart) -> None:
    rows = [row_of(heart)]
    rows += [
        rows[0] | {"id": new_identifier(shard_key_in(rows[0]["id"]), heart.now), "sid": "another"} for _ in range(MANY)
    ]

    with statements_of(heart.database.engine) as statements, heart.database.transaction() as tx:
        insert_rows(tx, TABLE, rows)

    assert len(statements) == 1
    assert len(heart.all(LogoutDelivery, LogoutDelivery.sid == "another")) == len(rows)


def test_every_kind_of_value_comes_back_as_it_was(heart: Heart) -> None:
    told = row_of(heart, client_name='"Käse" \\ 🧀 \n\'; --', uri=None, operator_registered=False, attempts=7)
    told |= {"state": DeliveryState.TOLD, "settled_at": heart.now, "last_failure": ""}

    with heart.database.transaction() as tx:
        insert_rows(tx, TABLE, [told])

    [stored] = heart.all(LogoutDelivery, LogoutDelivery.id == told["id"])
    assert {name: getattr(stored, name) for name in told} == told


def test_what_does_not_fit_is_refused_and_never_cut(heart: Heart) -> None:
    # SQLite has no lengths: there it is stored as it is.
    expected = nullcontext() if heart.database.is_sqlite else pytest.raises(DataError)

    with expected, heart.database.transaction() as tx:
        insert_rows(tx, TABLE, [row_of(heart, algorithm="A" * 17)])

    stored = heart.all(LogoutDelivery, LogoutDelivery.sid == "another")
    assert [one.algorithm for one in stored] == (["A" * 17] if heart.database.is_sqlite else [])


def test_what_all_rows_have_in_common_is_given_once_and_stored_with_each(heart: Heart) -> None:
    whole = row_of(heart)
    common = {name: whole.pop(name) for name in ("event_id", "ended_at", "attempts", "lease_holder", "state")}
    rows = [whole | {"id": new_identifier(shard_key_in(whole["id"]), heart.now), "uri": uri} for uri in (None, "u")]

    with heart.database.transaction() as tx:
        insert_rows(tx, TABLE, rows, same=common)

    stored = {row.id: row for row in heart.all(LogoutDelivery, LogoutDelivery.sid == "another")}
    assert [{name: getattr(stored[row["id"]], name) for name in row | common} for row in rows] == [
        row | common for row in rows
    ]


def test_no_rows_are_no_statement(heart: Heart) -> None:
    with statements_of(heart.database.engine) as statements, heart.database.transaction() as tx:
        insert_rows(tx, TABLE, [])

    assert statements == []
