"""`crowded`: the rules on a PostgreSQL with thousands of rows and their statistics, so that its planner has a choice.

Filled once per process by what `make bench-growth` fills its installations with; every test gets it in a state that
earlier ones may have changed a little, which plans don't mind.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from benchmarks.crowd import Crowd
from idp.db.engine import Database
from idp.db.models import Client
from idp.kit.keyring import Keyring
from idp.settings import load_settings
from tests.support.databases import _maintain, open_engine
from tests.support.heart import REDIRECT, HandClock, Heart

PEOPLE = 2_500


@pytest.fixture(scope="module")
def _crowded_url(_server_url: URL, _postgresql_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    name = _postgresql_template.removesuffix("_template") + f"_{worker}_crowded"
    _maintain(_server_url, f'CREATE DATABASE "{name}" TEMPLATE "{_postgresql_template}"')
    yield _server_url.set(database=name).render_as_string(hide_password=False)
    _maintain(_server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def _filled(_crowded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heart]:
    database = Database(open_engine(_crowded_url))
    secret = "a secret for tests only, long enough to be taken"
    settings = load_settings({}, database_url=_crowded_url, secret=secret, var_dir=tmp_path_factory.mktemp("crowded"))
    heart = Heart(database, lambda: database, HandClock(), settings, Keyring(settings.known_secret))
    app: Client = heart.client(public=True, requires_pkce=True, redirect_uris=["http://127.0.0.1/callback"])
    web: Client = heart.client(backchannel_logout_uri="https://app.example/logout", redirect_uris=[REDIRECT])
    with psycopg.connect(_crowded_url.replace("+psycopg", ""), autocommit=True) as connection:
        services: Any = heart  # what a crowd asks of services, a heart has
        crowd = Crowd(connection, services)
        crowd.fill(PEOPLE, app_id=app.id, web_id=web.id)
        # A few notices wait, among thousands that were told.
        connection.execute(
            "UPDATE logout_deliveries SET state = 'pending', settled_at = NULL, attempts = 0, next_attempt_at = 1 "
            "WHERE right(id, 4) = '0070'"
        )
        connection.execute("VACUUM ANALYZE")
    yield heart
    database.engine.dispose()


@pytest.fixture
def crowded(_filled: Heart) -> Heart:
    """A heart with a clock of its own."""
    return Heart(_filled.database, _filled.open_database, HandClock(), _filled.settings, _filled.keyring)
