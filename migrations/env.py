"""How a migration runs: in one transaction, one runner at a time, never waiting long for a lock that stops the service.

Migration files name plain SQL types, not our own: a type of ours may change its Python side later, and a migration
written today must then still mean the same column.
"""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app
from sqlalchemy import Connection, text

from idp.db.types import Duration, Identifier, UTCDateTime, Words

# Any constant will do, as long as nothing else in the database uses it as an advisory lock.
ONE_RUNNER_AT_A_TIME = 7_402_113_958
LOCK_TIMEOUT = "5s"


def render_item(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    """Name the stored type instead of ours."""
    if kind == "type" and isinstance(item, UTCDateTime | Duration):
        return "sa.BigInteger()"
    if kind == "type" and isinstance(item, Words):
        return "sa.Text()"
    if kind == "type" and _is_identifier(item):
        return "IDENTIFIER"  # a constant in every migration file
    return False


def _write_no_empty_migration(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Stop `revision --autogenerate` from writing a file when models and history agree."""
    if getattr(context.config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives.clear()


def _is_identifier(item: Any) -> bool:
    variants = getattr(item, "_variant_mapping", {})
    return repr(item) == repr(Identifier()) and "postgresql" in variants


def run(connection: Connection) -> None:
    """Run the requested migrations on an open connection."""
    extension = current_app.extensions["migrate"]
    context.configure(
        connection=connection,
        target_metadata=extension.db.metadata,
        render_item=render_item,
        transactional_ddl=True,  # true of SQLite as well, as long as the driver does not begin transactions of its own
        **{"process_revision_directives": _write_no_empty_migration, **extension.configure_args},
    )
    with context.begin_transaction():
        if connection.dialect.name == "sqlite":
            _begin_now(connection)
        if connection.dialect.name == "postgresql":
            _queue_up(connection)
        context.run_migrations()
        if connection.dialect.name == "sqlite":
            _refuse_dangling_references(connection)


def _queue_up(connection: Connection) -> None:
    connection.execute(text("SET LOCAL statement_timeout = 0"))  # rewriting a large table takes what it takes
    connection.execute(text("SET LOCAL lock_timeout = '5min'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_RUNNER_AT_A_TIME})
    # An ALTER that waits for a lock makes everybody after it wait too: give up soon, and let the operator try again.
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))


def _driver_of(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _begin_now(connection: Connection) -> None:
    driver = _driver_of(connection)
    if not driver.in_transaction:  # an engine without the listener of idp.db.engine
        driver.execute("BEGIN IMMEDIATE")


def _refuse_dangling_references(connection: Connection) -> None:
    dangling = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
    if dangling:
        raise RuntimeError(f"the migration leaves rows that refer to nothing: {dangling[:5]}")


def run_on_sqlite(connection: Connection) -> None:
    """As `run`, with foreign keys unenforced meanwhile: a batch migration replaces tables that others refer to."""
    driver = _driver_of(connection)
    driver.isolation_level = None
    driver.execute("PRAGMA foreign_keys=OFF")  # without effect inside a transaction, hence before it
    try:
        run(connection.execution_options(idp_begin="IMMEDIATE"))
    finally:
        connection.rollback()
        driver.execute("PRAGMA foreign_keys=ON")


if context.is_offline_mode():
    raise SystemExit("Migrations look at the database while they run; there is no --sql mode.")
engine = current_app.extensions["migrate"].db.engine
with engine.connect() as open_connection:
    if open_connection.dialect.name == "sqlite":
        run_on_sqlite(open_connection)
    else:
        run(open_connection)
