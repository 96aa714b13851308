"""Statements written once say the same as SQLAlchemy's own way, whatever their constants and parameters hold."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import LargeBinary, String, bindparam, literal, select

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

    with heart.database.autocommit() as connection:
        row = fixed.one_or_none(connection, {"client": client.id})
        nobody = fixed.one_or_none(connection, {"client": "nobody"})

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

    with heart.database.autocommit() as connection:
        row = fixed.one_or_none(connection, {"client": client.id, "text": AWKWARD})

    assert row.echo == AWKWARD


def test_what_a_request_brings_is_never_part_of_the_text(heart: Heart) -> None:
    heart.client()
    statement = select(Client).where(Client.id == bindparam("client", type_=String()))
    fixed = FixedStatement(statement, (Client.id,), heart.database.engine.dialect)

    with heart.database.autocommit() as connection:
        assert fixed.one_or_none(connection, {"client": "' OR ''='"}) is None


def test_bytes_cannot_be_returned_and_are_refused_when_the_statement_is_written(heart: Heart) -> None:
    assert isinstance(TokenFamily.secret_hash.type, LargeBinary)

    with pytest.raises(AssertionError):
        FixedStatement(select(TokenFamily), (TokenFamily.secret_hash,), heart.database.engine.dialect)


def test_the_connection_is_left_as_it_was(heart: Heart) -> None:
    client = heart.client()
    statement = select(Client).where(Client.id == bindparam("client", type_=String()))
    fixed = FixedStatement(statement, (Client.created_at,), heart.database.engine.dialect)

    with heart.database.autocommit() as connection:
        assert fixed.one_or_none(connection, {"client": client.id}).created_at == heart.now
        usual = connection.execute(select(Client.created_at).where(Client.id == client.id)).scalar_one()

    assert usual == heart.now
    assert isinstance(usual, datetime)
