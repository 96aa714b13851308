"""Brings a database to the schema that this code expects: the one history in `migrations/`, run by Flask-Migrate.

It never makes tables in another way and never upgrades by itself: an operator (or `idp init`) does. Old and new
versions of the program run side by side on one schema (design §11: expand, then contract), therefore a database that
is *ahead* of this code is usable, while one that is behind is not.
"""

from enum import StrEnum
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import Engine

from idp.db.engine import db

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

_migrate = Migrate(directory=str(MIGRATIONS), render_as_batch=True, compare_type=True)


class SchemaState(StrEnum):
    """How the schema of a database relates to this code."""

    EMPTY = "empty"  # never migrated
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"  # migrated by a newer version of the program


def init_app(app: Flask) -> None:
    """Offer `flask db …` to developers and `upgrade` below to commands. Call it after `db.init_app(app)`."""
    _migrate.init_app(app, db)


def upgrade(app: Flask, revision: str = "head") -> None:
    """Apply the missing migrations, all in one transaction; simultaneous calls wait for each other.

    A database that is already there is left as it is. Raises SQLAlchemy's errors (a lock not obtained in time among
    them): then nothing has changed.
    """
    with app.app_context():
        command.upgrade(_config(), revision)


def downgrade(app: Flask, revision: str) -> None:
    """Take migrations back, down to `revision` (`base`: all). Data that only the newer schema can hold is lost."""
    with app.app_context():
        command.downgrade(_config(), revision)


def find_schema_state(engine: Engine) -> SchemaState:
    """Compare the revision recorded in the database with the history that this code brings. One short statement."""
    with engine.connect() as connection:
        recorded = set(MigrationContext.configure(connection).get_current_heads())
    known, heads = _history()
    if not recorded:
        return SchemaState.EMPTY
    if recorded == heads:
        return SchemaState.CURRENT
    return SchemaState.BEHIND if recorded <= known else SchemaState.AHEAD


def is_at_head(engine: Engine) -> bool:
    """Whether the database has exactly the schema of this code."""
    return find_schema_state(engine) is SchemaState.CURRENT


def _config() -> Config:
    config = _migrate.get_config()
    if not isinstance(config, Config):  # a subclass, which the type stubs do not know
        raise TypeError("Flask-Migrate's configuration is not Alembic's")
    return config


@cache
def _history() -> tuple[frozenset[str], frozenset[str]]:
    script = ScriptDirectory(str(MIGRATIONS))
    return frozenset(revision.revision for revision in script.walk_revisions()), frozenset(script.get_heads())
