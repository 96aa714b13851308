"""`idp clients self-test-link`: let the developer of an application test how it receives notices, without a shell here.

The operator decides who may: the link is printed once, to be handed over like a password (docs/adr/0013).
"""

import click

from idp.cli.context import OPERATOR, json_option, opened_services, plural, print_json
from idp.cli.lookup import get_client
from idp.clients.self_test import LIFETIME, make_self_test_link, withdraw_self_test_links
from idp.web.services import Services
from idp.web.times import length


@click.command(name="self-test-link")
@click.argument("client_id")
@click.option("--withdraw", is_flag=True, help="Make no link; let none work any more that was made before.")
@json_option
def self_test_link(client_id: str, withdraw: bool, as_json: bool) -> None:
    """Print a link with which a developer sends test notices to their application, and sees what it answers."""
    with opened_services() as services:
        if withdraw:
            _withdraw(services, client_id, as_json=as_json)
        else:
            _make(services, client_id, as_json=as_json)


def _make(services: Services, client_id: str, *, as_json: bool) -> None:
    with services.database.transaction() as tx:
        client = get_client(tx, client_id)
        if client.disabled_at is not None:
            raise click.ClickException(
                f"The application is disabled. `idp clients enable {client.id}` admits it again."
            )
        if client.backchannel_logout_uri is None:
            remedy = f"`idp clients update {client.id} --backchannel-logout-uri …` registers one."
            raise click.ClickException(f"It has no back-channel address, so nothing can be tested. {remedy}")
        handle, expires_at = make_self_test_link(tx, client_id=client.id, actor=OPERATOR.name, now=services.clock.now())
    url = services.settings.url(f"/developers/self-test/{handle.reveal()}")
    if as_json:
        print_json({"client_id": client_id, "url": url, "expires_at": expires_at})
        return
    click.echo(url)
    click.echo(
        f"For {client.name}: good for {length(LIFETIME)}, in the browser that opens it first. "
        "Hand it over as you would a password.",
        err=True,
    )


def _withdraw(services: Services, client_id: str, *, as_json: bool) -> None:
    with services.database.transaction() as tx:
        client = get_client(tx, client_id)
        withdrawn = withdraw_self_test_links(tx, client_id=client.id, actor=OPERATOR.name, now=services.clock.now())
    if as_json:
        print_json({"client_id": client_id, "withdrawn": withdrawn})
    else:
        click.echo(f"{plural(withdrawn, 'link', 'links')} withdrawn.")
