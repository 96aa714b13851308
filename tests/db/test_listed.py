"""A list as one parameter: the same text of a statement for any list, and an index used for each."""

import pytest
from sqlalchemy import Dialect, and_, select
from sqlalchemy.dialects import postgresql, sqlite

from idp.db.listed import is_listed
from idp.db.models import Client
from idp.db.once import run
from tests.support.heart import Heart
from tests.support.statements import statements_of

ODD = ['a "quoted" name', "it's {1,2}", "back\\slash", "NULL", "", "käse 🧀", "a,b", "[]"]
_BY_NAME = select(Client.name).where(is_listed(Client.name, "names"), Client.disabled_at.is_(None))


def found(heart: Heart, names: list[str]) -> set[str]:
    with heart.database.reading() as tx:
        return set(run(tx, _BY_NAME, {"names": names}).scalars())


def test_exactly_what_is_on_the_list_is_found_whatever_it_is_called(heart: Heart) -> None:
    for name in ODD[:-1]:
        heart.client(name=name or "nameless")
    heart.client(name="another")

    assert found(heart, ODD) == set(ODD[:-1]) - {""}
    assert found(heart, []) == set()
    assert found(heart, ["NULL"]) == {"NULL"}


def test_a_list_of_any_length_is_the_same_statement(heart: Heart) -> None:
    heart.client(name="wanted")

    with statements_of(heart.database.engine) as statements:
        assert found(heart, ["wanted"]) == {"wanted"}
        assert found(heart, [f"name {number}" for number in range(70_000)] + ["wanted"]) == {"wanted"}

    assert len(statements) == 2
    assert len(set(statements)) == 1


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_a_condition_with_a_list_stands_bare_so_that_indexes_serve_it(dialect: Dialect) -> None:
    condition = and_(is_listed(Client.id, "ids"), Client.name == "x")

    text = str(condition.compile(dialect=dialect))

    assert "= 1" not in text
    assert text.startswith(
        "clients.id IN (SELECT value FROM json_each(?)) AND"
        if dialect.name == "sqlite"
        else "clients.id = ANY (%(ids)s::VARCHAR[]) AND"
    )
