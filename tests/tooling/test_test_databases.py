"""The databases that all other tests stand on: real commits, the same start for every test, our own options."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, text

from idp.db.engine import Database
from idp.db.models import Base, GuessBudget

MORNING = datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.fixture(params=["first", "second"])
def twice(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_test_starts_without_rows(database: Database, twice: str) -> None:
    with database.reading() as tx:
        rows = {table.name: tx.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables}

    with database.transaction() as tx:
        tx.add(GuessBudget(key=f"left behind by the {twice}", window_started_at=MORNING, guesses=1))

    assert set(rows.values()) == {0}


def test_what_one_node_commits_another_sees(open_database: Callable[[], Database]) -> None:
    one, other = open_database(), open_database()

    with one.transaction() as tx:
        tx.add(GuessBudget(key="a", window_started_at=MORNING, guesses=1))

    with other.reading() as tx:
        assert tx.scalars(select(GuessBudget.key)).all() == ["a"]


def test_the_backend_is_the_one_that_the_test_names(database: Database, database_backend: str) -> None:
    assert database.engine.dialect.name == database_backend


def test_postgresql_runs_in_a_time_zone_that_nobody_expects(postgresql_url: str) -> None:
    from tests.support.databases import open_engine

    engine = open_engine(postgresql_url)
    with engine.connect() as connection:
        zone = connection.scalar(text("SHOW timezone"))
    engine.dispose()

    assert zone == "Asia/Kathmandu"
