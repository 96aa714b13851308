"""`idp users create` and `idp users list`."""

import sys
from typing import Any

import click

from idp.cli.context import json_option, opened_services, print_json, print_table
from idp.db.models import User
from idp.kit.opaque import Secret
from idp.users import create_user, find_password_problem, hash_password, list_users

PAGE = 500
_LONGEST_INPUT = 65536


@click.group()
def users() -> None:
    """Create and list people."""


@users.command()
@click.option("--email", help="E-mail address to sign in with.")
@click.option("--username", help="Name to sign in with: letters, digits, dot, hyphen, underscore.")
@click.option("--name", help="Full name, as applications with the scope `profile` see it.")
@click.option("--email-verified", is_flag=True, help="You know that the e-mail address is theirs.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input; one newline at its end is not part of it.",
)
@json_option
def create(
    email: str | None, username: str | None, name: str | None, email_verified: bool, password_stdin: bool, as_json: bool
) -> None:
    """Create a person who can sign in.

    Without --password-stdin, the password is asked for twice.
    """
    if not email and not username:
        raise click.UsageError("Give --email, --username or both.")
    with opened_services() as services:
        password_hash = hash_password(_read_password(from_stdin=password_stdin))
        now = services.clock.now()
        with services.database.transaction() as tx:
            created = create_user(
                tx,
                email=email,
                username=username,
                password_hash=password_hash,
                claims={"name": name} if name else {},
                email_verified=email_verified,
                now=now,
            )
    if isinstance(created, list):
        raise click.ClickException(" ".join(problem.text for problem in created))
    if as_json:
        print_json(_shown(created))
    else:
        click.echo(f"Created {created.email or created.username} (sub {created.sub}).")


@users.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List everybody who has an account."""
    rows: list[dict[str, Any]] = []
    with opened_services() as services:
        page = None
        while page is None or len(page) == PAGE:
            with services.database.reading() as tx:
                page = list_users(tx, after=page[-1].id if page else "", limit=PAGE)
            rows += [_shown(user) for user in page]
    if as_json:
        print_json(rows)
    else:
        columns = ("email", "username", "sub", "created_at", "disabled_at")
        print_table([{name: row[name] for name in columns} for row in rows], empty="Nobody has an account yet.")


def _read_password(*, from_stdin: bool) -> Secret:
    if from_stdin:
        # Bytes: what isn't UTF-8 is refused by a sentence and not by a traceback.
        try:
            text = sys.stdin.buffer.read(_LONGEST_INPUT).decode("utf-8")
        except UnicodeDecodeError:
            raise click.ClickException("The password on standard input is not UTF-8.") from None
        password = Secret(text.removesuffix("\n").removesuffix("\r"))
    elif sys.stdin.isatty():
        password = Secret(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise click.ClickException("Nobody is there to ask for a password: pass --password-stdin and send it there.")
    if problem := find_password_problem(password):
        raise click.ClickException(problem)
    return password


def _shown(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "sub": user.sub,
        "email": user.email,
        "username": user.username,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }
