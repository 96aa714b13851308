"""What a database error says of itself, and so what lands in logs, holds none of the values that were written."""

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from idp.db.models import Client, StoredRequest, StoredRequestKind
from tests.support.heart import Heart


def test_an_error_of_the_database_does_not_quote_what_was_stored(heart: Heart) -> None:
    """The parameters of a stored request may be an ID token of somebody (`id_token_hint`)."""
    with pytest.raises(SQLAlchemyError) as caught, heart.database.transaction() as tx:
        tx.execute(
            insert(StoredRequest).values(
                id="x" * 26,
                kind=StoredRequestKind.LOGOUT,
                secret_hash=b"topsecrethash",
                client_id="no such client",
                parameters={"id_token_hint": "eyJwrittenbytest"},
                created_at=heart.now,
                expires_at=heart.now,
            )
        )

    assert "eyJwrittenbytest" not in str(caught.value)
    assert "topsecrethash" not in str(caught.value)
    assert heart.all(Client) == []
