"""Old and new version on one schema (design §11): this code goes on working while, and after, the next one migrates.

The next migration is made up here and is the most that "expand" allows: a new column in every table, a new table, an
index. A node that a database is too old for says so instead of failing request by request.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from idp.db import migrate
from idp.db.engine import db
from idp.db.migrate import MIGRATIONS, SchemaState, find_schema_state
from idp.db.models import DeliveryState, LogoutDelivery
from idp.operation.checks import State, check_schema
from idp.web.services import Services
from idp.worker import deliver_due, deliver_mail, sweep_expired
from tests.support.characters import Provider
from tests.support.databases import migrating_app
from tests.support.heart import HandClock, Heart
from tests.support.receivers import Receivers

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "$HEAD"


def upgrade():
    for table in sa.inspect(op.get_bind()).get_table_names():
        if table != "alembic_version":
            op.add_column(table, sa.Column("added_later", sa.Text(), nullable=False, server_default="by the next"))
            op.add_column(table, sa.Column("also_later", sa.BigInteger(), nullable=True))
    op.create_table("added_later", sa.Column("id", sa.String(26), primary_key=True))
    op.create_index("ix_sessions_added_later", "sessions", ["added_later"])


def downgrade():
    raise NotImplementedError
"""


@pytest.fixture
def database_url(blank_database_url: str) -> str:
    """A database of the test's own, which it may migrate further than the others."""
    with migrating_app(blank_database_url) as app:
        migrate.upgrade(app)
    return blank_database_url


@pytest.fixture
def upgrade_to_next(database_url: str, tmp_path: Path) -> Callable[[], None]:
    """Does what `idp db upgrade` of the next version would do."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in MIGRATIONS.rglob("*"):
        if file.suffix in {".py", ".ini", ".mako"}:
            (folder / file.relative_to(MIGRATIONS)).write_text(file.read_text())
    head = str(ScriptDirectory(str(MIGRATIONS)).get_current_head())
    (folder / "versions" / "next.py").write_text(NEXT.replace("$HEAD", head))

    def upgrade() -> None:
        with migrating_app(database_url) as app, app.app_context():
            command.upgrade(app.extensions["migrate"].migrate.get_config(str(folder)), "head")

    return upgrade


def test_everything_goes_on_while_and_after_the_next_version_migrates(
    provider: Provider,
    heart: Heart,
    clock: HandClock,
    receivers: Receivers,
    open_services: Callable[..., Services],
    upgrade_to_next: Callable[[], None],
) -> None:
    receiver = receivers()
    services = open_services(allow=[receiver], issuer=provider.settings.issuer)
    provider.person("ada")
    wiki = provider.relying_party(name="Wiki", backchannel_logout_uri=receiver.uri)
    tool = provider.relying_party(name="Tool", scopes=("openid", "offline_access"))
    before = provider.visitor()
    wiki.sign_in(before)
    kept = tool.sign_in(before, scope="openid offline_access")
    clock.advance(minutes=1)
    code_of_before = wiki.authorize(before).code

    upgrade_to_next()

    assert find_schema_state(provider.services.database.engine) is SchemaState.AHEAD
    assert check_schema(provider.services.database).state is State.OK
    # What began on the old schema …
    assert wiki.redeem(code_of_before).access_token
    rotated = tool.refresh(kept)
    clock.advance(minutes=1)
    skipped = tool.refresh(kept)
    assert tool.introspect(skipped.access_token)["active"]
    assert tool.refresh(rotated).error == "invalid_grant"  # reuse, found on the new schema
    # … and what begins on the new one.
    after = provider.visitor()
    provider.person("bob")
    tokens = wiki.sign_in(after, name="bob")
    assert wiki.userinfo(tokens).status_code == 200
    page = before.page("/account/sessions/end-everywhere")
    assert before.submit(page.form("/account/sessions/end-everywhere")).status_code == 303
    deliver_due(services)
    deliver_mail(services)
    assert {row.state for row in heart.all(LogoutDelivery) if row.uri} == {DeliveryState.TOLD}
    clock.advance(days=100)
    sweep_expired(services)
    assert wiki.refresh(tokens).error == "invalid_grant"
    with heart.database.reading() as tx:
        added = set(tx.execute(text("SELECT added_later FROM sessions")).scalars())
    assert added == {"by the next"}


def test_the_previous_schema_is_refused_with_a_sentence_and_ready_after_the_upgrade(
    provider: Provider, database_url: str
) -> None:
    with migrating_app(database_url) as app:
        migrate.downgrade(app, "-1")
    refused = check_schema(provider.services.database)
    with migrating_app(database_url) as app:
        migrate.upgrade(app)

    assert refused.state is State.FAILED
    assert refused.message == "The database has an older schema than this version needs. Run `idp db upgrade`."
    assert check_schema(provider.services.database).state is State.OK


# What takes away or demands more: the version before still runs, and would fail.
_CONTRACTS = re.compile(
    r"drop_table|drop_column|rename_table|new_column_name|nullable=False(?![^)]*server_default)"
    r"|create_unique_constraint|create_check_constraint|unique=True"
)
# Of a later release; or it puts something else that demands no more in a thing's place, which is looked at below.
_SAYS_SO = re.compile(r"^(CONTRACTS|DEMANDS_THE_SAME) = ", re.MULTILINE)
_SAME = [file for file in sorted((MIGRATIONS / "versions").glob("v*.py")) if "DEMANDS_THE_SAME = " in file.read_text()]


@pytest.mark.parametrize(
    "file", sorted((MIGRATIONS / "versions").glob("v*.py"))[1:], ids=lambda file: getattr(file, "stem", "")
)
def test_a_migration_only_expands_unless_it_says_which_version_it_waited_for(file: Path) -> None:
    upgrade = file.read_text().partition("def upgrade()")[2].partition("def downgrade()")[0]
    # A table that is new may demand what it likes.
    of_old_tables = re.sub(r"op\.create_table\(\n.*?\n    \)\n", "", upgrade, flags=re.DOTALL)

    assert not _CONTRACTS.search(of_old_tables) or _SAYS_SO.search(file.read_text()), (
        "Old nodes run on the new schema (design §11). Split it: expand now, contract a release later, and then name "
        'that release: CONTRACTS = "0.2"'
    )


@pytest.mark.parametrize("file", _SAME, ids=lambda file: getattr(file, "stem", ""))
def test_a_migration_that_says_so_demands_the_same_as_before(file: Path, blank_database_url: str) -> None:
    revision = file.stem[1:5]
    with migrating_app(blank_database_url) as app:
        migrate.upgrade(app, f"{int(revision) - 1:04}")
        with app.app_context():
            before = _demands(db.engine)
        migrate.upgrade(app, revision)
        with app.app_context():
            assert _demands(db.engine) == before


def _demands(engine: Engine) -> set[str]:
    """Of each table: what must be unique, what must be given, and what is checked."""
    found, look = set(), inspect(engine)
    for table in look.get_table_names():
        indexes = [one["column_names"] for one in look.get_indexes(table) if one["unique"]]
        constraints = [one["column_names"] for one in look.get_unique_constraints(table)]
        found |= {f"{table} unique {columns}" for columns in (*indexes, *constraints)}
        found |= {f"{table} not null {one['name']}" for one in look.get_columns(table) if not one["nullable"]}
        found |= {f"{table} check {one['sqltext']}" for one in look.get_check_constraints(table)}
    return found


def test_the_guard_above_sees_what_takes_away() -> None:
    for line in ('op.drop_column("users", "email")', 'batch.add_column(sa.Column("x", sa.Text(), nullable=False))'):
        assert _CONTRACTS.search(line)
    assert not _CONTRACTS.search('op.add_column("users", sa.Column("x", sa.Text(), nullable=False, server_default=""))')
