"""`idp init` and `idp db …`: a database with this version's schema, signing keys, and the embedded secret.

Both may be repeated at any time, and run side by side on several nodes: what is there is left as it is.
"""

from typing import Any

import click
from flask import Flask
from sqlalchemy import make_url

from idp.cli.context import check_keys, json_option, plural, print_json, settings_of_installation
from idp.cli.retention import restored
from idp.db import migrate
from idp.db.encoding import find_lacking_encoding
from idp.db.engine import Database, db, engine_options, normalized_url
from idp.db.migrate import SchemaState, find_schema_state
from idp.keys import ensure_keys, reseal
from idp.retention.memory import forget
from idp.settings import Settings, SettingsError, load_settings
from idp.web.services import build_services


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Make the database, signing keys and secret, where missing. Asks nothing, and may be repeated."""
    settings = load_settings(create_secret=True)
    report = initialize(settings)
    if as_json:
        print_json(report)
        return
    click.echo(f"Database: {report['database']} ({'made ready' if report['migrated'] else 'was ready'}).")
    made = ", ".join(report["keys_created"])
    click.echo(f"Signing keys: {made} made." if made else "Signing keys: were there.")
    if report["keys_resealed"]:
        click.echo(f"Sealed under the current secret: {plural(len(report['keys_resealed']), 'key', 'keys')}.")
    click.echo("Next: `idp users create --email you@example.com --password-stdin`, then `idp serve`.")


@click.group(name="db")
def db_commands() -> None:
    """Bring the database to this version's schema; make a restored one safe."""


db_commands.add_command(restored)


@db_commands.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Apply the migrations that this version brings. Servers may go on running meanwhile."""
    settings = settings_of_installation()
    has_changed = upgrade_schema(settings)
    if as_json:
        print_json({"database": shown_database(settings), "migrated": has_changed})
    else:
        click.echo("The database has this version's schema now." if has_changed else "Nothing to do.")


def initialize(settings: Settings) -> dict[str, Any]:
    """What `idp init` does; returns what it found and made."""
    migrated = upgrade_schema(settings)
    services = build_services(settings)
    try:
        check_keys(services)
        with services.database.transaction() as tx:
            made = ensure_keys(tx, keyring=services.keyring, now=services.clock.now())
            algorithms = [key.algorithm for key in made]
            resealed = reseal(tx, keyring=services.keyring, now=services.clock.now())
        if migrated and made:
            forget(settings.var_dir)
    finally:
        services.database.engine.dispose()
    return {
        "database": shown_database(settings),
        "migrated": migrated,
        "keys_created": algorithms,
        "keys_resealed": resealed,
        "issuer": settings.issuer,
    }


def upgrade_schema(settings: Settings) -> bool:
    """Apply missing migrations; returns whether there were any."""
    # Not the whole application: migrations need its engine only, and must run when nothing else would start.
    app = Flask("idp.migrations")
    url = normalized_url(settings.database_url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url, pool_size=1)
    db.init_app(app)
    migrate.init_app(app)
    with app.app_context():
        engine = db.engine
    Database(engine, answer_seconds=None)  # sets up SQLite's connections; a migration takes its time
    try:
        state = find_schema_state(engine)
        if state is SchemaState.AHEAD:
            raise SettingsError("The database was migrated by a newer version already. Install that version.")
        if state is SchemaState.CURRENT:
            return False
        lacking = find_lacking_encoding(engine) if state is SchemaState.EMPTY else None
        if lacking is not None:
            raise SettingsError(
                f"The database keeps texts in {lacking}, which can't hold every name. Make one with "
                "`CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`."
            )
        migrate.upgrade(app)
        return True
    finally:
        engine.dispose()


def shown_database(settings: Settings) -> str:
    """The database's address without its password."""
    return make_url(settings.database_url).render_as_string(hide_password=True)
