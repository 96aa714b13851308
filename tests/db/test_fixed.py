"""Statements written once say the same as SQLAlchemy's own way, whatever their constants and parameters hold."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import LargeBinary, String, bindparam, cast, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError, MultipleResultsFound

from idp.db.fixed import FixedStatement
from idp.db.models import Client, TokenFamily
from tests.support.heart import Heart

AWKWARD = "it's 100 % :now $1 \\ “quoted”"


def test_a_row_has_the_types_of_its_columns(heart: Heart) -> None:
    client = heart.client(scopes=("openid", "reports:read"))
    columns = (Client.id, Client.scopes, Client.redirect_uris, Client.created_at, Client.refresh_rotation)
    fixed = FixedStatement(
        select(Client).where(Client.id == bindparam("client", type_=String())), columns, heart.database.engine.dialect
    )

    with heart.database.autocommit() as statements:
        row = statements.one_or_none(fixed, {"client": client.id})
        nobody = statements.one_or_none(fixed, {"client": "nobody"})

    assert (row.id, row.scopes, row.redirect_uris) == (client.id, client.scopes, client.redirect_uris)
    assert (row.created_at, row.refresh_rotation) == (client.created_at, client.refresh_rotation)
    assert row.created_at.tzinfo is UTC
    assert nobody is None


@pytest.mark.parametrize("place", ["constant", "parameter"])
def test_awkward_text_comes_back_as_it_was(heart: Heart, place: str) -> None:
    client = heart.client()
    given = literal(AWKWARD) if place == "constant" else bindparam("text", type_=String())
    statement = select(Client).where(Client.id == bindparam("client", type_=String()))
    fixed = FixedStatement(statement, (given.label("echo"),), heart.database.engine.dialect)

    with heart.database.autocommit() as statements:
        row = statements.one_or_none(fixed, {"client": client.id, "text": AWKWARD})

    assert row.echo == AWKWARD


def test_what_a_request_brings_is_never_part_of_the_text(heart: Heart) -> None:
    heart.client()
    statement = select(Client).where(Client.id == bindparam("client", type_=String()))
    fixed = FixedStatement(statement, (Client.id,), heart.database.engine.dialect)

    with heart.database.autocommit() as statements:
        assert statements.one_or_none(fixed, {"client": "' OR ''='"}) is None


def test_bytes_cannot_be_returned_and_are_refused_when_the_statement_is_written(heart: Heart) -> None:
    assert isinstance(TokenFamily.secret_hash.type, LargeBinary)

    with pytest.raises(AssertionError):
        FixedStatement(select(TokenFamily), (TokenFamily.secret_hash,), heart.database.engine.dialect)


def test_the_connection_is_left_as_it_was(heart: Heart) -> None:
    client = heart.client()
    statement = select(Client).where(Client.id == bindparam("client", type_=String()))
    fixed = FixedStatement(statement, (Client.created_at,), heart.database.engine.dialect)

    with heart.database.autocommit() as statements:
        assert statements.one_or_none(fixed, {"client": client.id}).created_at == heart.now
    with heart.database.transaction() as tx:  # it holds one transaction open again, and what is rolled back is undone
        usual = tx.scalar(select(Client.created_at).where(Client.id == client.id))
        tx.execute(update(Client).values(name="changed"))
        tx.rollback()

    assert usual == heart.now
    assert isinstance(usual, datetime)
    assert heart.all(Client, Client.name == "changed") == []


def test_two_rows_are_an_error(heart: Heart) -> None:
    heart.client(), heart.client()
    fixed = FixedStatement(select(Client), (Client.id,), heart.database.engine.dialect)

    with pytest.raises(MultipleResultsFound), heart.database.single_reads() as statements:
        statements.one_or_none(fixed, {})


def test_an_error_of_the_driver_is_sqlalchemys_and_costs_nobody_the_connection(heart: Heart) -> None:
    """Desks answer 503 to SQLAlchemy's errors; what the driver says must not pass them by as a 500."""
    client = heart.client()
    statement = insert(Client).values(id=bindparam("client", type_=String()), name="twice")
    again = FixedStatement(statement, (Client.id,), heart.database.engine.dialect)
    asks = FixedStatement(
        select(Client).where(Client.id == bindparam("client", type_=String())),
        (Client.id,),
        heart.database.engine.dialect,
    )

    with pytest.raises(IntegrityError), heart.database.autocommit() as statements:
        statements.one_or_none(again, {"client": client.id})

    with heart.database.single_reads() as statements:
        assert statements.one_or_none(asks, {"client": client.id}).id == client.id


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
def test_each_statement_is_a_transaction_of_its_own(heart: Heart) -> None:
    began = cast(func.transaction_timestamp(), String).label("began")
    asks = FixedStatement(select(began), (began,), heart.database.engine.dialect)

    for opened in (heart.database.single_reads, heart.database.autocommit):
        with opened() as statements:
            assert statements.one_or_none(asks, {}).began != statements.one_or_none(asks, {}).began
