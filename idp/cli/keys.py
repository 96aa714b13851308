"""`idp keys list`, `rotate`, `retire` and `reseal`. Private keys are never printed."""

from datetime import datetime
from typing import Any

import click

from idp.cli.context import check_keys, json_option, opened_services, plural, print_json, print_table
from idp.db.models import SigningKey
from idp.keys import KeyProblem, list_keys
from idp.keys import reseal as reseal_keys
from idp.keys import retire as retire_key
from idp.keys import rotate as rotate_key
from idp.keys.material import ALGORITHMS
from idp.kit.keyring import Keyring


@click.group()
def keys() -> None:
    """List, rotate and retire signing keys; seal them under a new secret."""


@keys.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the signing keys, the newest first."""
    with opened_services() as services, services.database.reading() as tx:
        now = services.clock.now()
        rows = [_shown(key, now, services.keyring) for key in list_keys(tx)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, empty="There are no signing keys. `idp init` makes them.")


@keys.command()
@click.option("--algorithm", "algorithms", type=click.Choice(sorted(ALGORITHMS)), multiple=True, help="Default: each.")
@click.option(
    "--immediately",
    is_flag=True,
    help="Sign with the new key at once: RPs that cache the old key set fail until they fetch it anew.",
)
@json_option
def rotate(algorithms: tuple[str, ...], immediately: bool, as_json: bool) -> None:
    """Make successors of the signing keys: published now, signing when every RP has had time to fetch them."""
    with opened_services() as services:
        check_keys(services)
        now = services.clock.now()
        with services.database.transaction() as tx:
            made = [
                rotate_key(
                    tx,
                    algorithm=algorithm,
                    keyring=services.keyring,
                    now=now,
                    settings=services.settings,
                    immediately=immediately,
                )
                for algorithm in dict.fromkeys(algorithms or sorted(ALGORITHMS))
            ]
            # While at it: an older secret should not be needed longer than somebody remembers why.
            reseal_keys(tx, keyring=services.keyring, now=now)
            rows = [_shown(key, now, services.keyring) for key in made]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            click.echo(f"{row['algorithm']}: {row['kid']} signs from {row['activates_at']:%Y-%m-%d %H:%M:%S} UTC.")


# One in 64 thumbprints begins with a hyphen, and is no option.
@keys.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("kid")
@click.option(
    "--compromised",
    is_flag=True,
    help="Others may have it: unpublish it at once, so that nothing it signed is accepted anywhere.",
)
@json_option
def retire(kid: str, compromised: bool, as_json: bool) -> None:
    """Stop signing with a key now. What it signed stays good until it expires, unless --compromised.

    The last key of its algorithm can't be retired: rotate first.
    """
    with opened_services() as services:
        now = services.clock.now()
        with services.database.transaction() as tx:
            retired = retire_key(tx, kid=kid, compromised=compromised, now=now, settings=services.settings)
            if isinstance(retired, KeyProblem):
                raise click.ClickException(retired.problem)
            row = _shown(retired, now, services.keyring)
    if as_json:
        print_json(row)
    elif compromised:
        click.echo(f"{kid} verifies nothing any more; nodes forget it within seconds.")
        click.echo("Applications that cached the old key set accept what it signed until they fetch it anew.")
    else:
        click.echo(f"{kid} signs no more. It is published until {row['unpublished_at']:%Y-%m-%d %H:%M:%S} UTC.")


@keys.command()
@json_option
def reseal(as_json: bool) -> None:
    """Seal every signing key under IDP_SECRET that was sealed under an older one; may be repeated."""
    with opened_services() as services:
        check_keys(services)
        with services.database.transaction() as tx:
            kids = reseal_keys(tx, keyring=services.keyring, now=services.clock.now())
    if as_json:
        print_json({"resealed": kids})
        return
    click.echo(f"Sealed anew: {plural(len(kids), 'key', 'keys')}." if kids else "Nothing to do.")
    click.echo("IDP_SECRET alone opens every signing key now.")


def _shown(key: SigningKey, now: datetime, keyring: Keyring) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": _state_of(key, now),
        "created_at": key.created_at,
        "activates_at": key.activates_at,
        "retired_at": key.retired_at,
        "unpublished_at": key.unpublished_at,
        "sealed_under": keyring.sealed_under(key.private_key_sealed).value,
    }


def _state_of(key: SigningKey, now: datetime) -> str:
    if key.compromised_at is not None:
        return "compromised"
    if key.unpublished_at is not None and key.unpublished_at <= now:
        return "unpublished"
    if key.retired_at is not None and key.retired_at <= now:
        return "retired"
    return "signing" if key.activates_at <= now else "published ahead"
