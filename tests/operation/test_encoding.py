"""A database that can't hold every character is refused before anything is in it, and told of when it is in use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from idp.cli.database import upgrade_schema
from idp.db.engine import Database
from idp.db.migrate import SchemaState, find_schema_state
from idp.operation.checks import State, check_database
from idp.settings import Settings, SettingsError, load_settings
from tests.support.databases import blank_database, open_engine


@pytest.fixture
def latin_url(_server_url: URL, request: pytest.FixtureRequest) -> Iterator[str]:
    with blank_database(_server_url, request, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'") as url:
        yield url


def settings_for(url: str, folder: Path) -> Settings:
    return load_settings({}, var_dir=folder, secret="x" * 40, database_url=url)


def test_no_schema_is_made_in_a_database_that_cannot_hold_every_name(latin_url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"keeps texts in LATIN1.*ENCODING 'UTF8'"):
        upgrade_schema(settings_for(latin_url, tmp_path))

    engine = open_engine(latin_url)
    assert find_schema_state(engine) is SchemaState.EMPTY
    engine.dispose()


def test_one_that_is_in_use_is_a_warning_that_says_what_to_do(latin_url: str) -> None:
    engine = open_engine(latin_url)

    found = check_database(Database(engine))

    engine.dispose()
    assert found.state is State.WARNING
    assert "LATIN1" in found.message
    assert "ENCODING 'UTF8'" in found.message


def test_a_complete_database_is_fine(database: Any) -> None:
    found = check_database(database)

    assert (found.state, found.message) == (State.OK, "It answers.")
