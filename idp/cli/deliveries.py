"""`idp deliveries list | show | redeliver | give-up`: notices to applications, and what an operator does about them."""

from typing import Any

import click

from idp.cli.context import OPERATOR, json_option, opened_services, plural, print_json, print_table
from idp.cli.lookup import get_client
from idp.db.models import DeliveryState, LogoutDelivery
from idp.kit.identifiers import is_identifier
from idp.outbox.inspection import DEAD, MAXIMUM_LISTED, list_deliveries
from idp.outbox.intervention import count_known, find_of_client, give_up, redeliver
from idp.web.services import Services

_STATES = [str(state) for state in DeliveryState]
_NEED_CARE = (DeliveryState.PENDING, *DEAD)
_ids_argument = click.argument("delivery_ids", metavar="[ID]...", nargs=-1)


@click.group()
def deliveries() -> None:
    """See what became of logout notices; try dead ones anew; give up waiting ones."""


@deliveries.command(name="list")
@click.option("--client", "client_id", help="Of this application only, then in every state.")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="In this state only. Repeatable.")
@click.option("--limit", type=click.IntRange(1, MAXIMUM_LISTED), default=100, show_default=True)
@json_option
def list_(client_id: str | None, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List notices: those that wait and those that died, or all of one application."""
    wanted = tuple(DeliveryState(state) for state in states) or (tuple(DeliveryState) if client_id else _NEED_CARE)
    if client_id is None and not set(wanted) <= set(_NEED_CARE):
        raise click.UsageError("Told ones are many: name the application with --client.")
    with opened_services() as services, services.database.reading() as tx:
        if client_id is not None:
            get_client(tx, client_id)
        rows = [_shown(row) for row in list_deliveries(tx, client_id=client_id, states=wanted, limit=limit)]
    if as_json:
        print_json(rows)
        return
    columns = ("delivery", "application", "state", "attempts", "next_attempt_at", "status", "failure", "settled_at")
    print_table([{name: row[name] for name in columns} for row in rows], empty="No notice waits, and none died.")


@deliveries.command()
@click.argument("delivery_id")
@json_option
def show(delivery_id: str, as_json: bool) -> None:
    """Show everything about one notice but what the application answered."""
    with opened_services() as services, services.database.reading() as tx:
        row = tx.get(LogoutDelivery, delivery_id) if is_identifier(delivery_id) else None
        if row is None:
            raise _unknown()
        shown = _shown(row)
    if as_json:
        print_json(shown)
    else:
        print_table([{"field": name, "value": value} for name, value in shown.items()], empty="")


@deliveries.command(name="redeliver")
@_ids_argument
@click.option("--client", "client_id", help="Instead of identifiers: of this application …")
@click.option("--dead", is_flag=True, help="… all that were refused or given up.")
@click.option(
    "--current-address", is_flag=True, help="Send to the address registered today, not to the one of that time."
)
@json_option
def redeliver_(
    delivery_ids: tuple[str, ...], client_id: str | None, dead: bool, current_address: bool, as_json: bool
) -> None:
    """Try settled notices anew, for another day: dead ones of an application, or any by identifier."""
    if bool(delivery_ids) == bool(client_id) or bool(client_id) != dead:
        raise click.UsageError("Give identifiers, or --client with --dead.")
    with opened_services() as services:
        done: list[str] = []
        now = services.clock.now()
        for batch in _batches(services, delivery_ids, client_id, dead=True):
            with services.database.transaction() as tx:
                some = redeliver(
                    tx, delivery_ids=batch, to_current_address=current_address, actor=OPERATOR.name, now=now
                )
            done += some
            if client_id is not None and not some:
                break  # what is left has no address to go to
    _report(
        done,
        delivery_ids,
        as_json=as_json,
        what=f"goes out again{_IF_ANY}",
        many=f"go out again{_IF_ANY}",
        why=_NOT_REDELIVERED,
    )


@deliveries.command(name="give-up")
@_ids_argument
@click.option("--client", "client_id", help="Instead of identifiers: all that wait for this application.")
@json_option
def give_up_(delivery_ids: tuple[str, ...], client_id: str | None, as_json: bool) -> None:
    """Stop trying waiting notices. Receipts then say that the application could not be told."""
    if bool(delivery_ids) == bool(client_id):
        raise click.UsageError("Give identifiers or --client.")
    with opened_services() as services:
        done: list[str] = []
        for batch in _batches(services, delivery_ids, client_id, dead=False):
            with services.database.transaction() as tx:
                done += give_up(tx, delivery_ids=batch, actor=OPERATOR.name, now=services.clock.now())
    _report(done, delivery_ids, as_json=as_json, what="is given up", many="are given up", why="It does not wait.")


_NOT_REDELIVERED = (
    "It is on its way already, or has no address: `--current-address` takes the one that is registered today."
)


def _batches(services: Services, delivery_ids: tuple[str, ...], client_id: str | None, *, dead: bool) -> Any:
    """The named identifiers, all known; or batch after batch of the application's until none is left."""
    if client_id is None:
        with services.database.reading() as tx:
            wanted = sorted({text for text in delivery_ids if is_identifier(text)})
            if len(wanted) < len(set(delivery_ids)) or count_known(tx, wanted) < len(wanted):
                raise _unknown()
        yield wanted
        return
    until = services.clock.now()
    with services.database.reading() as tx:
        get_client(tx, client_id)
    while True:
        with services.database.reading() as tx:
            batch = find_of_client(tx, client_id=client_id, dead=dead, until=until)
        if not batch:
            return
        yield batch


_IF_ANY = ", if a worker runs"


def _report(done: list[str], asked: tuple[str, ...], *, as_json: bool, what: str, many: str, why: str) -> None:
    left = sorted(set(asked) - set(done))
    if as_json:
        print_json({"changed": done, "left_alone": left})
    elif done:
        click.echo(f"{plural(len(done), f'notice {what}', f'notices {many}')}.")
    elif not left:
        click.echo("There was nothing to do.")
    if left:
        raise click.ClickException(f"{', '.join(left)} was left alone. {why}")


def _unknown() -> click.ClickException:
    return click.ClickException("No notice has that identifier. `idp deliveries list` shows them; nothing was changed.")


def _shown(row: LogoutDelivery) -> dict[str, Any]:
    is_waiting = row.state is DeliveryState.PENDING
    return {
        "delivery": row.id,
        "application": row.client_name,
        "client_id": row.client_id,
        "state": row.state,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at if is_waiting else None,
        "status": row.last_status,
        "failure": row.last_failure,
        "last_attempt_at": row.last_attempt_at,
        "settled_at": row.settled_at,
        "created_at": row.created_at,
        "session_ended_at": row.ended_at,
        "address": row.uri,
        "event": row.event_id,
        "session": row.session_id,
        "logout_reason": row.logout_reason,
    }
