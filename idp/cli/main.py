"""The root command: names of all parts, loaded only when called, and one place where errors become sentences."""

import gc
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

# name → (module, attribute, one line for the list). Late, so that `idp --help` needs none of the house.
_COMMANDS = {
    "init": ("idp.cli.database", "init", "Make the database, keys and secret; nothing that is there is touched."),
    "demo": ("idp.cli.demo", "demo", "Start provider, worker, two applications and a mail catcher; say what to try."),
    "serve": ("idp.cli.serve", "serve", "Run the web server and a worker."),
    "worker": ("idp.cli.serve", "worker", "Deliver logout notices and end expired sessions."),
    "db": ("idp.cli.database", "db_commands", "Bring the database to this version's schema; make a restored one safe."),
    "users": ("idp.cli.users", "users", "Create, list, disable, enable and delete people; set a password."),
    "clients": ("idp.cli.clients", "clients", "Create, change, list, disable and delete applications."),
    "deliveries": ("idp.cli.deliveries", "deliveries", "See what became of logout notices; try dead ones anew."),
    "sessions": ("idp.cli.sessions", "sessions", "List and end sign-ins."),
    "policy": ("idp.cli.policy", "policy_commands", "Decide how long sign-ins live, while everything runs."),
    "purge": ("idp.cli.retention", "purge", "Delete what nothing needs any more; the worker does so daily."),
    "doctor": ("idp.cli.doctor", "doctor", "Look at everything around this installation, and say what to do."),
    "keys": ("idp.cli.keys", "keys", "List, rotate, retire and reseal signing keys."),
}


class _LateGroup(click.Group):
    """Loads a command's module when it is called, and turns expected errors into one sentence and status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        with _loading():
            command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            click.UsageError(_tamed(error.format_message()), error.ctx).show()
            ctx.exit(1)  # one status for everything that was not done (click's own would be 2)
        except click.ClickException as error:
            raise click.ClickException(_tamed(error.format_message())) from error
        except Exception as error:
            from idp.cli.errors import explain

            if (sentence := explain(error)) is None:
                raise
            raise click.ClickException(_tamed(sentence)) from error


@contextmanager
def _loading() -> Iterator[None]:
    """Without looking for garbage, of which loading makes none that matters: looking takes a sixth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _tamed(sentence: str) -> str:
    """The sentence, fit for a terminal: what it quotes was typed by somebody, or comes from a database."""
    printable = "".join(character if character.isprintable() or character == "\n" else "?" for character in sentence)
    return re.sub(r"\S{200,}", lambda word: f"{word[0][:60]}…", printable)


@click.group(cls=_LateGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="idp", message="idp %(version)s")
def main() -> None:
    """The identity provider whose logout works.

    Settings come from IDP_* variables and the file that IDP_CONFIG names; docs/settings.md lists them.
    """
