"""The one Alembic history: it makes exactly the models' schema on both databases, and can be taken back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Engine, inspect, text

from idp.db import migrate
from idp.db.engine import db
from idp.db.migrate import MIGRATIONS, SchemaState, find_schema_state, is_at_head
from idp.db.models import Base
from tests.migrations.sample_rows import ROWS, count_rows, insert_sample_rows
from tests.migrations.schema import describe_schema
from tests.support.databases import migrating_app

REVISIONS = [revision.revision for revision in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]


@pytest.fixture
def app(blank_database_url: str) -> Iterator[Flask]:
    """An application over a database that no migration has touched."""
    with migrating_app(blank_database_url) as app:
        yield app


@pytest.fixture
def engine(app: Flask) -> Engine:
    """That database."""
    with app.app_context():
        return db.engine


def test_the_history_has_one_beginning_and_one_head() -> None:
    script = ScriptDirectory(str(MIGRATIONS))

    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


def test_the_migrations_make_the_schema_of_the_models(app: Flask, engine: Engine) -> None:
    Base.metadata.create_all(engine)
    of_the_models = describe_schema(engine)
    Base.metadata.drop_all(engine)

    migrate.upgrade(app)

    assert describe_schema(engine) == of_the_models
    assert len(of_the_models) > 100


def test_alembic_finds_nothing_to_add(app: Flask) -> None:
    migrate.upgrade(app)

    with app.app_context():
        command.check(migrate._config())


def test_migrations_name_plain_types_so_that_our_own_may_change() -> None:
    for file in (MIGRATIONS / "versions").glob("*.py"):
        assert "idp" not in file.read_text().replace("idp_", ""), file.name


def test_every_table_has_a_sample_row() -> None:
    assert set(ROWS) == set(Base.metadata.tables)


def test_upgrading_a_current_database_changes_nothing(app: Flask, engine: Engine) -> None:
    migrate.upgrade(app)
    with engine.begin() as connection:
        insert_sample_rows(connection)
        before = describe_schema(engine), count_rows(connection)

    migrate.upgrade(app)

    with engine.connect() as connection:
        assert (describe_schema(engine), count_rows(connection)) == before
        assert set(before[1].values()) == {1}
    assert is_at_head(engine)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_migration_can_be_taken_back_and_applied_again_on_a_database_in_use(
    app: Flask, engine: Engine, revision: str
) -> None:
    migrate.upgrade(app)
    schema = describe_schema(engine)
    with engine.begin() as connection:
        insert_sample_rows(connection)

    with app.app_context():
        before = ScriptDirectory(str(MIGRATIONS)).get_revision(revision).down_revision
    migrate.downgrade(app, str(before) if before else "base")
    state_below = find_schema_state(engine)
    tables_below = set(inspect(engine).get_table_names()) - {"alembic_version"}
    migrate.upgrade(app)

    assert state_below is (SchemaState.BEHIND if before else SchemaState.EMPTY)
    assert bool(tables_below) is bool(before)
    assert describe_schema(engine) == schema


def test_two_upgrades_at_once_both_succeed_and_run_one_after_the_other(blank_database_url: str, engine: Engine) -> None:
    program = (
        "import sys; from idp.db import migrate; from tests.support.databases import migrating_app\n"
        "with migrating_app(sys.argv[1]) as app: migrate.upgrade(app)"
    )

    upgrades = [
        subprocess.Popen(
            [sys.executable, "-c", program, blank_database_url],
            cwd=MIGRATIONS.parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    errors = [upgrade.communicate(timeout=60)[1] for upgrade in upgrades]

    assert [upgrade.returncode for upgrade in upgrades] == [0, 0], errors
    assert is_at_head(engine)


class TestSchemaState:
    """What a node may conclude from the revision recorded in the database."""

    def test_a_database_without_tables_is_empty(self, engine: Engine) -> None:
        assert find_schema_state(engine) is SchemaState.EMPTY
        assert not is_at_head(engine)

    def test_a_database_at_an_earlier_revision_is_behind(
        self, app: Flask, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        migrate.upgrade(app)
        head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        monkeypatch.setattr(migrate, "_history", lambda: (frozenset({head, "later"}), frozenset({"later"})))

        assert find_schema_state(engine) is SchemaState.BEHIND
        assert not is_at_head(engine)

    def test_a_database_at_a_revision_unknown_to_us_is_ahead(self, app: Flask, engine: Engine) -> None:
        migrate.upgrade(app)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))

        assert find_schema_state(engine) is SchemaState.AHEAD
        assert not is_at_head(engine)


class TestTheRunner:
    """How `migrations/env.py` runs a migration, shown with a history that has one revision more."""

    @pytest.fixture
    def longer_history(self, tmp_path: Path) -> Path:
        folder = tmp_path / "migrations"
        (folder / "versions").mkdir(parents=True)
        for file in MIGRATIONS.rglob("*"):
            if file.suffix in {".py", ".ini", ".mako"}:
                (folder / file.relative_to(MIGRATIONS)).write_text(file.read_text())
        head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        (folder / "versions" / "next.py").write_text(
            NEXT_REVISION.replace("$HEAD", str(head)),
        )
        return folder

    def _upgrade(self, app: Flask, folder: Path) -> None:
        with app.app_context():
            command.upgrade(app.extensions["migrate"].migrate.get_config(str(folder)), "head")

    def _downgrade(self, app: Flask, folder: Path) -> None:
        with app.app_context():
            command.downgrade(app.extensions["migrate"].migrate.get_config(str(folder)), "-1")

    def test_replacing_a_table_keeps_its_rows_and_those_that_refer_to_it(
        self, app: Flask, engine: Engine, longer_history: Path
    ) -> None:
        migrate.upgrade(app)
        with engine.begin() as connection:
            insert_sample_rows(connection)

        self._upgrade(app, longer_history)
        with engine.connect() as connection:
            nickname = connection.scalar(text("SELECT nickname FROM users"))
            after_upgrade = count_rows(connection)
        self._downgrade(app, longer_history)

        assert nickname == "none yet"
        assert set(after_upgrade.values()) == {1}
        with engine.connect() as connection:
            assert count_rows(connection) == after_upgrade
        assert is_at_head(engine)

    def test_a_migration_that_fails_leaves_everything_as_it_was(
        self, app: Flask, engine: Engine, longer_history: Path
    ) -> None:
        migrate.upgrade(app)
        with engine.begin() as connection:
            insert_sample_rows(connection)
        before = describe_schema(engine)
        failing = longer_history / "versions" / "next.py"
        failing.write_text(failing.read_text().replace("# and then", "raise RuntimeError('out of luck')"))

        with pytest.raises(RuntimeError, match="out of luck"):
            self._upgrade(app, longer_history)

        assert describe_schema(engine) == before
        assert is_at_head(engine)

    def test_a_migration_that_leaves_rows_without_their_parent_is_refused(
        self, app: Flask, engine: Engine, longer_history: Path
    ) -> None:
        migrate.upgrade(app)
        with engine.begin() as connection:
            insert_sample_rows(connection)
        careless = longer_history / "versions" / "next.py"
        careless.write_text(careless.read_text().replace("# and then", 'op.execute("DELETE FROM users")'))

        with pytest.raises(Exception, match=r"refer to nothing|violates foreign key"):
            self._upgrade(app, longer_history)

        with engine.connect() as connection:
            assert set(count_rows(connection).values()) == {1}

    def test_foreign_keys_are_enforced_again_afterwards(self, app: Flask, engine: Engine) -> None:
        migrate.upgrade(app)

        with engine.connect() as connection:
            enforced = connection.dialect.name == "postgresql" or connection.scalar(text("PRAGMA foreign_keys"))

        assert enforced

    @pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)  # SQLite has no such settings
    def test_a_migration_waits_only_briefly_for_a_lock_but_may_work_for_long(
        self, app: Flask, engine: Engine, longer_history: Path
    ) -> None:
        migrate.upgrade(app)

        self._upgrade(app, longer_history)

        with engine.connect() as connection:
            assert connection.scalar(text("SELECT limits FROM seen_by_the_migration")) == "5s 0"


NEXT_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "$HEAD"


def upgrade():
    with op.batch_alter_table("users", recreate="auto") as users:
        users.add_column(sa.Column("nickname", sa.Text(), nullable=False, server_default="none yet"))
        users.alter_column("sub", existing_type=sa.String(64), type_=sa.String(80))
    # and then
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TABLE seen_by_the_migration AS"
            " SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout') AS limits"
        )


def downgrade():
    op.execute("DROP TABLE IF EXISTS seen_by_the_migration")
    with op.batch_alter_table("users") as users:
        users.alter_column("sub", existing_type=sa.String(80), type_=sa.String(64))
        users.drop_column("nickname")
"""
