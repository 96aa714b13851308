"""`idp policy list | set | unset`: what an operator decides while everything runs. The rules are in `idp.policy`."""

from typing import Any

import click

from idp.cli.context import OPERATOR, json_option, opened_services, print_json, print_table
from idp.cli.lookup import get_client
from idp.cli.sign_in_again import sign_in_again
from idp.policy import Changed, PolicyProblem, Row, list_in_force, set_value, spell, to_integer, unset_value

_client_option = click.option("--client", "client_id", help="For this application only, by its client_id.")
# Every check looks the value up in its own statement: nothing has to spread.
_AT_ONCE = "It counts at once, on every node and for existing sign-ins too."
_WRITTEN_DOWN = (
    "Sign-ins that are over by it can do nothing any more; a worker writes that down and tells the applications, "
    "usually within a minute."
)


@click.group(name="policy")
def policy_commands() -> None:
    """Decide how long sign-ins live, while everything runs. What is not decided follows the settings."""


policy_commands.add_command(sign_in_again)


@policy_commands.command(name="list")
@_client_option
@json_option
def list_(client_id: str | None, as_json: bool) -> None:
    """List what can be decided, what is in force, and within which bounds."""
    with opened_services() as services, services.database.reading() as tx:
        client = get_client(tx, client_id) if client_id is not None else None
        rows = list_in_force(tx, services.settings, client=client)
    if as_json:
        print_json([_shown(row) for row in rows])
        return
    print_table(
        [
            {
                "policy": row.knob.name,
                "in force": spell(row.value),
                "otherwise": spell(row.default) if row.is_decided else "",
                "decided": row.set_at or row.is_decided,
                "bounds": row.knob.bounds(),
                "what": row.knob.what,
            }
            for row in rows
        ],
        empty="",
    )


@policy_commands.command(name="set")
@click.argument("name")
@click.argument("value")
@_client_option
@json_option
def set_(name: str, value: str, client_id: str | None, as_json: bool) -> None:
    """Decide a value: `idp policy set browser_idle_lifetime 8h`, `idp policy set keep_signed_in off`."""
    with opened_services() as services, services.database.transaction() as tx:
        changed = _done(
            set_value(
                tx,
                name=name,
                text=value,
                client_id=client_id,
                settings=services.settings,
                actor=OPERATOR.name,
                now=services.clock.now(),
            )
        )
    _report(changed, client_id, as_json=as_json)


@policy_commands.command()
@click.argument("name")
@_client_option
@json_option
def unset(name: str, client_id: str | None, as_json: bool) -> None:
    """Take a decision back: the setting counts again, or for an application what holds for all."""
    with opened_services() as services, services.database.transaction() as tx:
        changed = _done(
            unset_value(
                tx,
                name=name,
                client_id=client_id,
                settings=services.settings,
                actor=OPERATOR.name,
                now=services.clock.now(),
            )
        )
    _report(changed, client_id, as_json=as_json)


def _done(outcome: Changed | PolicyProblem) -> Changed:
    # Raised inside the transaction: a refusal leaves nothing behind.
    if isinstance(outcome, PolicyProblem):
        raise click.ClickException(outcome.sentence)
    return outcome


def _report(changed: Changed, client_id: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "policy": changed.knob.name,
                "client_id": client_id,
                "before": spell(changed.before),
                "value": spell(changed.after),
                "changed": changed.before != changed.after,
            }
        )
        return
    whose = f" for {client_id}" if client_id else ""
    if changed.before == changed.after:
        click.echo(f"{changed.knob.name}{whose} is {spell(changed.after)}, as before.")
        return
    click.echo(f"{changed.knob.name}{whose} is {spell(changed.after)} now; it was {spell(changed.before)}.")
    click.echo(_AT_ONCE)
    if changed.knob.ends_sessions and to_integer(changed.after) < to_integer(changed.before):
        click.echo(_WRITTEN_DOWN)


def _shown(row: Row) -> dict[str, Any]:
    return {
        "policy": row.knob.name,
        "value": spell(row.value),
        "otherwise": spell(row.default),
        "is_decided": row.is_decided,
        "decided_at": row.set_at,
        "bounds": row.knob.bounds(),
        "what": row.knob.what,
    }
