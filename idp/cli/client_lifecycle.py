"""`idp clients rotate-secret | disable | enable | delete`.

Disabling commits first: from then on every node refuses the application. What it held is then ended in batches, each in
a transaction of its own, and the application is told of each end. Whoever interrupts that repeats the command.
"""

from datetime import timedelta

import click

from idp.cli.context import OPERATOR, LengthOfTime, json_option, opened_services, plural, print_json
from idp.cli.lookup import get_client, unknown_client
from idp.clients import (
    RotationUnderWay,
    delete_client,
    disable_client,
    enable_client,
    hold_client,
    rotate_client_secret,
)
from idp.clients.lifecycle import PUBLIC_METHOD
from idp.db.models import EndReason
from idp.sessions import count_people_of_client, end_client_everywhere
from idp.web.services import Services

_BATCH = 50
_LONGEST_OVERLAP = timedelta(days=90)


@click.command(name="rotate-secret")
@click.argument("client_id")
@click.option(
    "--overlap",
    type=LengthOfTime(),
    default="24h",
    show_default=True,
    help="How long the secrets so far go on working; 0 after a leak.",
)
@click.option(
    "--replace-newest",
    is_flag=True,
    help="Within an overlap: drop the secret made last, which was lost, and keep the one before.",
)
@json_option
def rotate_secret(client_id: str, overlap: timedelta, replace_newest: bool, as_json: bool) -> None:
    """Make a new secret, shown once, now. The old one goes on working for a while; more than two never do."""
    if overlap > _LONGEST_OVERLAP:
        raise click.UsageError(f"An overlap of over {_LONGEST_OVERLAP.days}d leaves the old secret in use: shorten it.")
    with opened_services() as services:
        now = services.clock.now()
        with services.database.transaction() as tx:
            client = get_client(tx, client_id)
            if client.token_endpoint_auth_method == PUBLIC_METHOD:
                raise click.ClickException(f"{client.name} is a public client, which has no secret. Nothing to do.")
            rotated = rotate_client_secret(
                tx, client_id=client_id, overlap=overlap, now=now, replaces_newest=replace_newest
            )
            if rotated is None:
                raise unknown_client()
            if isinstance(rotated, RotationUnderWay):
                raise click.ClickException(_under_way(client.name, rotated))
    secret, ends_at = rotated.secret, rotated.previous_ends_at
    if as_json:
        shown = {"client_id": client_id, "client_secret": secret.reveal(), "previous_expire_at": ends_at}
        print_json(shown)
        return
    click.echo(f"client_id:     {client_id}")
    click.echo(f"client_secret: {secret.reveal()}")
    click.echo("Keep the secret now: it can't be shown again.")
    if ends_at > now:
        click.echo(f"The one before works until {ends_at:%Y-%m-%d %H:%M:%S} UTC.")
    else:
        click.echo("The one before works no more.")


def _under_way(name: str, rotation: RotationUnderWay) -> str:
    return (
        f"{name} has two secrets already: the elder works until {rotation.ends_at:%Y-%m-%d %H:%M:%S} UTC. Wait until "
        "then; or drop the one made last, if it was lost, with --replace-newest; or let only a new one work, now, with "
        "--overlap 0."
    )


@click.command()
@click.argument("client_id")
@json_option
def disable(client_id: str, as_json: bool) -> None:
    """Refuse an application everywhere from now on, and end what it holds."""
    with opened_services() as services:
        with services.database.transaction() as tx:
            name = get_client(tx, client_id).name
            has_changed = disable_client(tx, client_id=client_id, now=services.clock.now())
        people = _end_everywhere(services, client_id, EndReason.CLIENT_DISABLED, as_json=as_json)
    _report(client_id, name, "disabled", people, as_json=as_json, changed=has_changed)


@click.command()
@click.argument("client_id")
@json_option
def enable(client_id: str, as_json: bool) -> None:
    """Admit a disabled application again. What was ended stays ended: people sign in anew."""
    with opened_services() as services:
        with services.database.reading() as tx:
            name = get_client(tx, client_id).name
        people, has_changed = 0, None
        while has_changed is None:
            people += _end_everywhere(
                services, client_id, EndReason.CLIENT_DISABLED, as_json=as_json, only_while_disabled=True
            )
            has_changed = _enable_when_empty(services, client_id)
    _report(client_id, name, "enabled", people, as_json=as_json, changed=has_changed)


def _enable_when_empty(services: Services, client_id: str) -> bool | None:
    """Enable the client; None when something of it is left that would live again (I1), False when it was enabled."""
    with services.database.transaction() as tx:
        now = services.clock.now()
        client = hold_client(tx, client_id)
        if client is None:
            raise unknown_client()
        if client.disabled_at is not None and count_people_of_client(tx, client_id=client_id, now=now):
            return None
        return enable_client(tx, client_id=client_id, now=now)


@click.command()
@click.argument("client_id")
@json_option
def delete(client_id: str, as_json: bool) -> None:
    """End what an application holds, and remove it for good."""
    with opened_services() as services:
        with services.database.transaction() as tx:
            name = get_client(tx, client_id).name
            disable_client(tx, client_id=client_id, now=services.clock.now())
        # Marked as deleted only when all is ended: until then the command can be repeated by the same identifier.
        people = _end_everywhere(services, client_id, EndReason.CLIENT_DELETED, as_json=as_json)
        with services.database.transaction() as tx:
            has_changed = delete_client(tx, client_id=client_id, now=services.clock.now())
    _report(client_id, name, "deleted", people, as_json=as_json, changed=has_changed)


def _end_everywhere(
    services: Services, client_id: str, reason: EndReason, *, as_json: bool, only_while_disabled: bool = False
) -> int:
    """Batch after batch until nothing is left; returns how many people were concerned.

    With `only_while_disabled` it also stops, before it ends anything new, when somebody else enabled the application.
    """
    with services.database.reading() as tx:
        expected = count_people_of_client(tx, client_id=client_id, now=services.clock.now())
        if only_while_disabled and get_client(tx, client_id).disabled_at is None:
            return 0
    people = 0
    with click.progressbar(
        length=expected, label="Ending what it holds", show_pos=True, hidden=as_json or not expected
    ) as bar:
        while True:
            with services.database.transaction() as tx:
                if only_while_disabled:
                    held = hold_client(tx, client_id)
                    if held is None or held.disabled_at is None:
                        return people
                batch = end_client_everywhere(
                    tx,
                    client_id=client_id,
                    reason=reason,
                    actor=OPERATOR,
                    settings=services.settings,
                    now=services.clock.now(),
                    limit=_BATCH,
                )
            if not batch:
                return people
            people += batch
            bar.update(batch)


def _report(client_id: str, name: str, what: str, people: int, *, as_json: bool, changed: bool) -> None:
    if as_json:
        print_json({"client_id": client_id, "changed": changed, "people": people})
        return
    click.echo(f"{name} ({client_id}) is {what}." if changed else f"{name} ({client_id}) was {what} already.")
    if people:
        told = plural(people, "person was", "people were")
        click.echo(f"{told} signed out of it. It is told of that now, if a worker runs.")
