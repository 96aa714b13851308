"""Finding whom or what a command names; an unknown name is one sentence that says where the known ones are listed."""

import click

from idp.clients import find_client
from idp.db.engine import Tx
from idp.db.models import Client, User
from idp.users import find_by_login_name, find_by_sub


def get_user(tx: Tx, name: str) -> User:
    """The person of this e-mail address, username or `sub`. Raises `ClickException` when there is none."""
    user = find_by_login_name(tx, name) or find_by_sub(tx, name)
    if user is None:
        raise click.ClickException("Nobody has that e-mail address, username or sub. `idp users list` shows everybody.")
    return user


def get_client(tx: Tx, client_id: str) -> Client:
    """The client of this identifier, disabled or not. Raises `ClickException` when there is none."""
    client = find_client(tx, client_id)
    if client is None:
        raise unknown_client()
    return client


def unknown_client() -> click.ClickException:
    """What to raise for an identifier that no client has."""
    return click.ClickException("No application has that client_id. `idp clients list` shows them all.")
