"""What a command needs before it may work: settings, and a database of exactly this schema. Also how commands print."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import make_url

from idp.db.migrate import SchemaState, find_schema_state
from idp.kit.opaque import Secret
from idp.sessions import Actor
from idp.settings import Duration, Settings, SettingsError, load_settings
from idp.web.services import Services, build_services

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")

OPERATOR = Actor(name="administrator:cli")
"""Who did it, for the audit trail and receipts."""

_NOT_SET_UP = "Nothing is set up here yet. Run `idp init` first."


def settings_of_installation() -> Settings:
    """The settings of an installation that is set up already; makes nothing, not even a secret."""
    try:
        settings = load_settings(create_secret=False)
    except SettingsError as error:
        # Is it only the embedded secret that `idp init` would make, or is something wrong?
        if _is_embedded_without_secret():
            raise SettingsError(_NOT_SET_UP) from None
        raise error from None
    if settings.is_sqlite and not sqlite_path(settings).exists():
        raise SettingsError(_NOT_SET_UP)
    return settings


def _is_embedded_without_secret() -> bool:
    try:
        return load_settings(create_secret=False, secret=Secret("-" * 64)).is_sqlite
    except SettingsError:
        return False


def sqlite_path(settings: Settings) -> Path:
    """Where the embedded database lies."""
    return Path(make_url(settings.database_url).database or "")


@contextmanager
def opened_services(prepare: Callable[[Services], None] | None = None) -> Iterator[Services]:
    """The services over a database that is there and migrated; its connections are closed afterwards.

    `prepare` is called before the database is first asked.
    """
    services = build_services(settings_of_installation())
    try:
        if prepare is not None:
            prepare(services)
        check_schema(services)
        yield services
    finally:
        services.database.engine.dispose()


def check_schema(services: Services) -> None:
    """Raise `SettingsError` with the remedy unless this code can work on the database's schema."""
    match find_schema_state(services.database.engine):
        case SchemaState.EMPTY:
            raise SettingsError("The database is empty. Run `idp init` first.")
        case SchemaState.BEHIND:
            raise SettingsError("The database has an older schema than this version needs. Run `idp db upgrade`.")
        case SchemaState.CURRENT | SchemaState.AHEAD:  # ahead: a newer version runs beside us (design §11)
            pass


def check_keys(services: Services) -> None:
    """Raise `KeyUnavailable` unless the signing keys that are there open under this installation's secret.

    Before anything that seals: a key made under a mistyped secret would take the installation down later.
    """
    services.keys.jwks(services.clock.now())


class LengthOfTime(click.ParamType[timedelta]):
    """A duration as the settings spell it: `90`, `5m`, `24h`, `28d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Text → duration."""
        try:
            return TypeAdapter(Duration).validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is no length of time: write 90, 5m, 24h or 28d.", param, ctx)


class Moment(click.ParamType[datetime]):
    """A moment of ISO 8601 with its offset; a bare one would mean another thing in every time zone."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Text → aware moment."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no moment: write 2026-11-21T03:00:00Z.", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone: write 2026-11-21T03:00:00Z.", param, ctx)
        return moment.astimezone(UTC)


def print_json(value: Any) -> None:
    """One JSON document on standard output; moments as ISO 8601 in UTC."""
    click.echo(json.dumps(value, default=_to_json, indent=2, ensure_ascii=False))


def _to_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(rows: Sequence[Mapping[str, object]], *, empty: str) -> None:
    """Rows in aligned columns under their names, or the sentence `empty`."""
    if not rows:
        click.echo(empty)
        return
    texts = [{name: _to_cell(value) for name, value in row.items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in texts)) for name in texts[0]}
    for row in ({name: name for name in widths}, *texts):
        click.echo("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())


def _to_cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S} UTC"
        case bool():
            return "yes" if value else "no"
        case _:
            # What people and browsers sent must not steer the terminal.
            return "".join(character if character.isprintable() else "?" for character in str(value))


def plural(count: int, one: str, many: str) -> str:
    """ "1 browser", "2 browsers"."""
    return f"{count} {one if count == 1 else many}"
