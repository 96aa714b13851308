"""`idp clients create | update | list`. What happens to one later is in `client_lifecycle`, its notices in
`client_notices`."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click

from idp.cli.client_lifecycle import delete, disable, enable, rotate_secret
from idp.cli.client_notices import check, inspect_token, show_notice
from idp.cli.context import json_option, opened_services, print_json, print_table
from idp.cli.lookup import get_client, unknown_client
from idp.cli.self_test_link import self_test_link
from idp.cli.snippets import SNIPPETS, Registered, shown_snippets
from idp.clients import ClientProblem, ClientSpec, create_client, list_clients, update_client
from idp.clients.lifecycle import PUBLIC_METHOD
from idp.clients.registration import SERVICE_GRANTS, WEB_GRANTS
from idp.db.models import Client


@click.group()
def clients() -> None:
    """Create, change, list, disable and delete applications."""


for _command in (rotate_secret, disable, enable, delete, check, show_notice, inspect_token, self_test_link):
    clients.add_command(_command)


@dataclass(frozen=True)
class _Asked:
    """What the shared options say; None or empty: nothing was said."""

    name: str | None
    redirect_uris: tuple[str, ...]
    public: bool
    backchannel_logout_uri: str | None
    frontchannel_logout_uri: str | None
    frontchannel_logout_session_required: bool | None
    logout_reason: bool | None
    post_logout_redirect_uris: tuple[str, ...]
    requires_pkce: bool | None
    first_party: bool | None
    service: bool | None
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    resource_identifiers: tuple[str, ...]
    token_endpoint_auth_method: str | None
    id_token_alg: str | None


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `create` and `update` share."""
    for option in reversed(
        (
            click.option("--name", help="What people see when they sign in."),
            click.option(
                "--redirect-uri",
                "redirect_uris",
                multiple=True,
                help="Where people come back to, exactly. Repeatable.",
            ),
            click.option(
                "--public",
                is_flag=True,
                help="An app that can keep no secret: mobile, desktop, command line, browser. Only when created.",
            ),
            click.option("--backchannel-logout-uri", help="Where the application is told that a session ended."),
            click.option(
                "--frontchannel-logout-uri",
                help="What the browser that signs out is asked to open; for applications that know nothing better.",
            ),
            click.option(
                "--frontchannel-logout-session-required/--no-frontchannel-logout-session-required",
                "frontchannel_logout_session_required",
                default=None,
                help="It needs iss and sid there (default). They are sent in any case.",
            ),
            click.option(
                "--logout-reason/--no-logout-reason",
                "logout_reason",
                default=None,
                help="Its logout tokens say in one word why: the claim logout_reason. Default: they do not.",
            ),
            click.option(
                "--post-logout-redirect-uri",
                "post_logout_redirect_uris",
                multiple=True,
                help="Where people may go after signing out. Repeatable.",
            ),
            click.option(
                "--pkce/--no-pkce",
                "requires_pkce",
                default=None,
                help="Demand PKCE in authorization requests (default), or accept them without.",
            ),
            click.option(
                "--first-party/--third-party",
                "first_party",
                default=None,
                help="Ours: people are not asked for consent. Default: they are.",
            ),
            click.option(
                "--service/--no-service",
                "service",
                default=None,
                help="May get tokens for itself (client credentials).",
            ),
            click.option(
                "--scope",
                "scopes",
                multiple=True,
                help="A scope it may ask for (default: the usual ones). Repeatable.",
            ),
            click.option(
                "--resource",
                "resources",
                multiple=True,
                help="An API it may get tokens for; the first is the default. Repeatable.",
            ),
            click.option(
                "--resource-identifier",
                "resource_identifiers",
                multiple=True,
                help="The API that it is itself: it may introspect access tokens made for that. Repeatable.",
            ),
            click.option(
                "--token-endpoint-auth-method",
                type=click.Choice(["client_secret_basic", "client_secret_post"]),
                help="How it authenticates (default: client_secret_basic, or none for --public).",
            ),
            click.option(
                "--id-token-alg",
                type=click.Choice(["ES256", "RS256"]),
                help="How its ID tokens are signed (default: ES256).",
            ),
        )
    ):
        command = option(command)
    return command


@clients.command()
@_options
@click.option(
    "--snippets",
    "languages",
    type=click.Choice([*SNIPPETS, "all", "none"]),
    default="all",
    show_default=True,
    help="For which framework to print what the application's developer pastes.",
)
@json_option
def create(languages: str, as_json: bool, **given: Any) -> None:
    """Register an application. Its secret is shown once, now."""
    asked = _Asked(**given)
    if asked.name is None:
        raise click.UsageError("Missing option '--name': what people see when they sign in.")
    if not asked.redirect_uris and not asked.service:
        raise click.UsageError("Give --redirect-uri (people sign in), --service (it acts for itself) or both.")
    grants = (WEB_GRANTS if asked.redirect_uris else ()) + (SERVICE_GRANTS if asked.service else ())
    spec = ClientSpec(
        name=asked.name,
        redirect_uris=asked.redirect_uris,
        public=asked.public,
        is_first_party=bool(asked.first_party),
        requires_pkce=asked.requires_pkce is not False,
        post_logout_redirect_uris=asked.post_logout_redirect_uris,
        backchannel_logout_uri=asked.backchannel_logout_uri,
        wants_logout_reason=bool(asked.logout_reason),
        frontchannel_logout_uri=asked.frontchannel_logout_uri,
        frontchannel_logout_session_required=asked.frontchannel_logout_session_required is not False,
        grant_types=grants,
        scopes=asked.scopes or None,
        token_endpoint_auth_method=asked.token_endpoint_auth_method,
        id_token_signed_response_alg=asked.id_token_alg or "ES256",
        allowed_resources=asked.resources,
        default_resource=asked.resources[0] if asked.resources else None,
        resource_identifiers=asked.resource_identifiers,
    )
    with opened_services() as services, services.database.transaction() as tx:
        created = create_client(tx, spec=spec, now=services.clock.now())
    if isinstance(created, list):
        raise _refusal("created", created)
    client, secret = created.client, created.secret.reveal() if created.secret else None
    if as_json:
        print_json({"client_id": client.id, "client_secret": secret, "name": client.name})
        return
    click.echo(f"client_id:     {client.id}")
    click.echo(f"client_secret: {secret or '(none: a public client)'}")
    if secret:
        click.echo("Keep the secret now: it can't be shown again.")
    if client.redirect_uris and languages != "none":
        click.echo(shown_snippets(Registered.of(client, issuer=services.settings.issuer), languages))


@clients.command()
@click.argument("client_id")
@_options
@json_option
def update(client_id: str, as_json: bool, **given: Any) -> None:
    """Change an application; what is not named stays. A list is replaced as a whole, "" empties it.

    Takes effect with the next request of the application: also for refresh tokens that it holds.
    """
    asked = _Asked(**given)
    if not _said(asked):
        raise click.UsageError("Say what to change: `idp clients update --help` lists the options.")
    with opened_services() as services, services.database.transaction() as tx:
        client = get_client(tx, client_id)
        changed = update_client(tx, client_id=client_id, now=services.clock.now(), **_changes(asked, client))
        if changed is None:
            raise unknown_client()
        if isinstance(changed, list):
            raise _refusal("changed", changed)
        row = _shown(changed)
    if as_json:
        print_json(row)
    else:
        click.echo(f"Changed: {row['name']} ({row['client_id']}).")


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


def _said(asked: _Asked) -> dict[str, Any]:
    """The options that were given. `False` counts where `--no-…` exists, which it does not for `--public`."""
    given = {field.name: getattr(asked, field.name) for field in fields(asked)}
    return {
        name: value
        for name, value in given.items()
        if value is not None and value != () and (name != "public" or value)
    }


def _changes(asked: _Asked, client: Client) -> dict[str, Any]:
    """The fields of `ClientSpec` that change. An empty text empties: a list of nothing, an address that is none."""
    changes: dict[str, Any] = {}
    for name, value in _said(asked).items():
        match name, value:
            case "resources", _:
                resources = _without_empty(value)
                changes["allowed_resources"] = resources
                changes["default_resource"] = resources[0] if resources else None
            case "service", _:
                pass  # a grant, below
            case _, tuple():
                changes[_FIELD_OF.get(name, name)] = _without_empty(value)
            case _, "":
                changes[_FIELD_OF.get(name, name)] = None if name in _ADDRESSES else ""
            case _:
                changes[_FIELD_OF.get(name, name)] = value
    grants = _grants(asked, client)
    if grants != client.grant_types:
        changes["grant_types"] = grants
        if not client.scopes and not asked.scopes and "authorization_code" in grants:
            changes["scopes"] = None  # the usual ones: a service that people may sign in to from now on
    return changes


_ADDRESSES = {"backchannel_logout_uri", "frontchannel_logout_uri"}
_FIELD_OF = {
    "first_party": "is_first_party",
    "logout_reason": "wants_logout_reason",
    "id_token_alg": "id_token_signed_response_alg",
}


def _grants(asked: _Asked, client: Client) -> tuple[str, ...]:
    grants = list(client.grant_types)
    is_answered = bool(_without_empty(asked.redirect_uris))
    for wanted, kinds in ((is_answered if asked.redirect_uris else None, WEB_GRANTS), (asked.service, SERVICE_GRANTS)):
        if wanted is True:
            grants += [kind for kind in kinds if kind not in grants]
        elif wanted is False:
            grants = [kind for kind in grants if kind not in kinds]
    return tuple(grants)


def _without_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in values if value)


def _refusal(what: str, problems: list[ClientProblem]) -> click.ClickException:
    return click.ClickException(f"The client was not {what}: " + "; ".join(str(problem) for problem in problems) + ".")


def _shown(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.id,
        "name": client.name,
        "public": client.token_endpoint_auth_method == PUBLIC_METHOD,
        "first_party": client.is_first_party,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "logout_reason": client.wants_logout_reason,
        "frontchannel_logout_uri": client.frontchannel_logout_uri,
        "frontchannel_logout_session_required": client.frontchannel_logout_session_required,
        "grant_types": list(client.grant_types),
        "scopes": list(client.scopes),
        "allowed_resources": client.allowed_resources,
        "resource_identifiers": client.resource_identifiers,
        "requires_pkce": client.requires_pkce,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "id_token_signed_response_alg": client.id_token_signed_response_alg,
        "created_at": client.created_at,
        "disabled_at": client.disabled_at,
    }
