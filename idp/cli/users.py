"""`idp users …`: make and list accounts, disable, enable and delete them, set a password.

Disabling, deleting and a new password end the person's sessions in the same transaction: there is no moment at which
the account is closed and a session of it is not. The person is told by mail, written in that transaction too.
"""

import sys
from typing import Any

import click

from idp import mail
from idp.cli.context import OPERATOR, json_option, opened_services, print_json, print_table
from idp.cli.ended import say_ended, shown_ended
from idp.cli.lookup import get_user
from idp.db.engine import Tx
from idp.db.models import EndReason, User
from idp.kit.opaque import Secret
from idp.sessions import Ended, end_everything, forget_devices
from idp.users import (
    create_user,
    delete_user,
    disable_user,
    enable_user,
    find_password_problem,
    hash_password,
    list_users,
    set_password,
)
from idp.web.services import Services

PAGE = 500
_LONGEST_INPUT = 65536


# Which option a problem of an account is about.
_OPTIONS = {"email": "--email", "username": "--username", "claims": "--name"}


@click.group()
def users() -> None:
    """Create, list, disable, enable and delete people; set a password."""


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
        raise click.ClickException(" ".join(f"{_OPTIONS[problem.field]}: {problem.text}" for problem in created))
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


@users.command()
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Sign a person out everywhere and let them in by no path. NAME: e-mail address, username or sub."""
    with opened_services() as services:
        now = services.clock.now()
        with services.database.transaction() as tx:
            user = get_user(tx, name)
            has_changed = disable_user(tx, user_id=user.id, actor=OPERATOR.name, now=now)
            ended = _end_all(tx, services, user, EndReason.USER_DISABLED)
            if has_changed:
                _write(tx, services, user, mail.account_closed(now=now, settings=services.settings))
    _report(user, "disabled" if has_changed else "was disabled already", ended, as_json=as_json, changed=has_changed)


@users.command()
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Let a disabled person sign in again. What was ended stays ended."""
    with opened_services() as services, services.database.transaction() as tx:
        user, now = get_user(tx, name), services.clock.now()
        has_changed = enable_user(tx, user_id=user.id, actor=OPERATOR.name, now=now)
        if has_changed:
            _write(tx, services, user, mail.account_opened(now=now, settings=services.settings))
    what = "may sign in again" if has_changed else "was not disabled"
    _report(user, what, None, as_json=as_json, changed=has_changed)


@users.command()
@click.argument("name")
@json_option
def delete(name: str, as_json: bool) -> None:
    """Sign a person out everywhere and wipe the account for good. The names are free again, the sub never is."""
    with opened_services() as services:
        now = services.clock.now()
        with services.database.transaction() as tx:
            user = get_user(tx, name)
            address = user.email
            has_changed = delete_user(tx, user_id=user.id, actor=OPERATOR.name, now=now)
            ended = _end_all(tx, services, user, EndReason.USER_DELETED)
            forget_devices(tx, user_id=user.id)
            if has_changed and address is not None:
                letter = mail.account_deleted(now=now, settings=services.settings)
                _write(tx, services, user, letter, last_address=address)
    _report(user, "deleted" if has_changed else "was deleted already", ended, as_json=as_json, changed=has_changed)


@users.command(name="set-password")
@click.argument("name")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input; one newline at its end is not part of it.",
)
@click.option("--keep-sessions", is_flag=True, help="Leave the person signed in where they are.")
@json_option
def set_password_(name: str, password_stdin: bool, keep_sessions: bool, as_json: bool) -> None:
    """Give a person another password, and sign them out everywhere.

    Without --password-stdin, the password is asked for twice.
    """
    with opened_services() as services:
        with services.database.reading() as tx:
            user = get_user(tx, name)  # before anybody types a password for a misspelled name
        password_hash = hash_password(_read_password(from_stdin=password_stdin))  # before the transaction
        now = services.clock.now()
        with services.database.transaction() as tx:
            if not set_password(tx, user_id=user.id, password_hash=password_hash, actor=OPERATOR.name, now=now):
                raise click.ClickException("The account was deleted meanwhile. Nothing was changed.")
            ended = None if keep_sessions else _end_all(tx, services, user, EndReason.PASSWORD_CHANGED)
            letter = mail.password_set_for_you(is_signed_out=not keep_sessions, now=now, settings=services.settings)
            _write(tx, services, user, letter)
    _report(user, "has the new password", ended, as_json=as_json, changed=True)


def _end_all(tx: Tx, services: Services, user: User, reason: EndReason) -> Ended:
    return end_everything(
        tx,
        user_id=user.id,
        except_session_id=None,
        reason=reason,
        actor=OPERATOR,
        settings=services.settings,
        now=services.clock.now(),
    )


def _write(tx: Tx, services: Services, user: User, letter: mail.Letter, *, last_address: str | None = None) -> None:
    """To the person, of what was done to their account, in the transaction that does it."""
    mail.enqueue_mail(
        tx,
        user_id=user.id,
        letter=letter,
        settings=services.settings,
        now=services.clock.now(),
        last_address=last_address,
    )


def _report(user: User, what: str, ended: Ended | None, *, as_json: bool, changed: bool) -> None:
    """`user` is the row as it was read before the change: it still has its names."""
    if as_json:
        print_json({"sub": user.sub, "changed": changed, "ended": shown_ended(ended) if ended else None})
        return
    click.echo(f"{user.email or user.username} (sub {user.sub}) {what}.")
    if ended is not None:
        say_ended(ended)


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
