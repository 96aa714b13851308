"""`idp clients create` and `idp clients list`."""

from typing import Any

import click

from idp.cli.context import json_option, opened_services, print_json, print_table
from idp.clients import ClientSpec, create_client, list_clients
from idp.clients.lifecycle import PUBLIC_METHOD
from idp.clients.registration import SERVICE_GRANTS, WEB_GRANTS
from idp.db.models import Client


@click.group()
def clients() -> None:
    """Create and list applications."""


@clients.command()
@click.option("--name", required=True, help="What people see when they sign in.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Where people come back to, exactly. Repeatable.")
@click.option("--public", is_flag=True, help="An app that can keep no secret: mobile, desktop, command line, browser.")
@click.option("--backchannel-logout-uri", help="Where the application is told that a session ended.")
@click.option(
    "--post-logout-redirect-uri",
    "post_logout_redirect_uris",
    multiple=True,
    help="Where people may go after signing out. Repeatable.",
)
@click.option("--no-pkce", is_flag=True, help="Accept authorization requests without PKCE from this client.")
@click.option("--first-party", is_flag=True, help="Ours: people are not asked for consent.")
@click.option("--service", is_flag=True, help="May get tokens for itself (client credentials).")
@click.option("--scope", "scopes", multiple=True, help="A scope it may ask for (default: the usual ones). Repeatable.")
@click.option(
    "--resource", "resources", multiple=True, help="An API it may get tokens for; the first is the default. Repeatable."
)
@click.option(
    "--token-endpoint-auth-method",
    type=click.Choice(["client_secret_basic", "client_secret_post"]),
    help="How it authenticates (default: client_secret_basic, or none for --public).",
)
@click.option(
    "--id-token-alg",
    type=click.Choice(["ES256", "RS256"]),
    default="ES256",
    show_default=True,
    help="How its ID tokens are signed.",
)
@json_option
def create(
    *,
    name: str,
    redirect_uris: tuple[str, ...],
    public: bool,
    backchannel_logout_uri: str | None,
    post_logout_redirect_uris: tuple[str, ...],
    no_pkce: bool,
    first_party: bool,
    service: bool,
    scopes: tuple[str, ...],
    resources: tuple[str, ...],
    token_endpoint_auth_method: str | None,
    id_token_alg: str,
    as_json: bool,
) -> None:
    """Register an application. Its secret is shown once, now."""
    if not redirect_uris and not service:
        raise click.UsageError("Give --redirect-uri (people sign in), --service (it acts for itself) or both.")
    grants = (WEB_GRANTS if redirect_uris else ()) + (SERVICE_GRANTS if service else ())
    spec = ClientSpec(
        name=name,
        redirect_uris=redirect_uris,
        public=public,
        is_first_party=first_party,
        requires_pkce=not no_pkce,
        post_logout_redirect_uris=post_logout_redirect_uris,
        backchannel_logout_uri=backchannel_logout_uri,
        grant_types=grants,
        scopes=scopes or None,
        token_endpoint_auth_method=token_endpoint_auth_method,
        id_token_signed_response_alg=id_token_alg,
        allowed_resources=resources,
        default_resource=resources[0] if resources else None,
    )
    with opened_services() as services, services.database.transaction() as tx:
        created = create_client(tx, spec=spec, now=services.clock.now())
    if isinstance(created, list):
        raise click.ClickException(
            "The client was not created: " + "; ".join(str(problem) for problem in created) + "."
        )
    secret = created.secret.reveal() if created.secret else None
    if as_json:
        print_json({"client_id": created.client.id, "client_secret": secret, "name": created.client.name})
        return
    click.echo(f"client_id:     {created.client.id}")
    click.echo(f"client_secret: {secret or '(none: a public client)'}")
    if secret:
        click.echo("Keep the secret now: it can't be shown again.")


@clients.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the registered applications."""
    with opened_services() as services, services.database.reading() as tx:
        rows = [_shown(client) for client in list_clients(tx)]
    if as_json:
        print_json(rows)
    else:
        columns = ("client_id", "name", "public", "backchannel_logout_uri", "created_at", "disabled_at")
        print_table([{name: row[name] for name in columns} for row in rows], empty="No application is registered yet.")


def _shown(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.id,
        "name": client.name,
        "public": client.token_endpoint_auth_method == PUBLIC_METHOD,
        "first_party": client.is_first_party,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "grant_types": list(client.grant_types),
        "scopes": list(client.scopes),
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "id_token_signed_response_alg": client.id_token_signed_response_alg,
        "created_at": client.created_at,
        "disabled_at": client.disabled_at,
    }
