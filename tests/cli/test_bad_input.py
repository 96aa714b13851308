"""Every command of `idp` against wrong words: one sentence, exit status 1, and nothing half done.

The commands are found by walking the real command tree, so that a new one is tried too; one that needs more than its
arguments to come as far as the database is given that here.
"""

from collections.abc import Iterator
from typing import Any

import click
import pytest
from sqlalchemy import select

from idp.cli import main
from idp.db.models import Base
from tests.cli.shell import PASSWORD, SECRET, Shell
from tests.support.heart import Heart

Words = tuple[str, ...]

# What makes a command complete beyond its arguments and required options, `{}` being the identifier that it is given.
# No entry has an effect on a database that has nobody of that name.
COMPLETE: dict[str, Words] = {
    "serve": ("--without-worker",),
    "db restored": ("--since", "2026-11-21T03:00:00Z"),
    "users create": ("--email", "{}", "--password-stdin"),
    "users delete": ("{}", "--yes"),
    "users set-password": ("{}", "--password-stdin"),
    "clients create": ("--name", "Wiki", "--redirect-uri", "{}"),
    "clients update": ("{}", "--name", "Wiki"),
    "sessions end": ("--user", "{}", "--all"),
    "policy set": ("{}", "1h"),
    "doctor": ("--offline",),
}
# `demo` makes an installation of its own, in its own folder.
ALONE = {"demo"}
ODD = [
    "no body@example.com",
    "",
    " ",
    "\x00",
    "no\x00body",
    "☃",
    "../../etc/passwd",
    "%00",
    "x" * 70_000,
    "'; --",
    "\x1b[2J",
]


def commands(group: click.Group = main, before: Words = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


def complete(name: str, command: click.Command) -> Words:
    """The words that follow the command's name."""
    if name in COMPLETE:
        return COMPLETE[name]
    words: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words.append("{}")
        elif parameter.required:
            words += [parameter.opts[0], "{}"]
    return tuple(words)


def filled(name: str, words: Words, identifier: str) -> list[str]:
    return [*name.split(), *(identifier if word == "{}" else word for word in words)]


def everything(heart: Heart) -> dict[str, Any]:
    with heart.database.reading() as tx:
        return {table.name: sorted(map(repr, tx.execute(select(table)).all())) for table in Base.metadata.sorted_tables}


def assert_one_sentence(said: str) -> None:
    assert said.strip(), "it failed without a word"
    assert "Traceback" not in said
    assert SECRET not in said
    assert PASSWORD not in said


ALL = {name: (command, complete(name, command)) for name, command in commands() if name not in ALONE}


def test_the_table_names_commands_that_there_are() -> None:
    assert set(COMPLETE) <= set(ALL)
    assert len(ALL) > 25


def test_wrong_identifiers_are_refused_by_a_sentence_and_change_nothing(shell: Shell, today: Heart) -> None:
    today.tokens_for(today.sign_in(today.person()), today.client())
    before = everything(today)

    for name, (_, words) in ALL.items():
        for odd in ODD if "{}" in words else []:
            sentence = shell.refusal(*filled(name, words, odd), given=PASSWORD)
            assert_one_sentence(sentence)
            assert len(sentence) < 2000, f"{name} repeats what it was given"
            assert "\x00" not in sentence
            assert "\x1b" not in sentence, "it steers the terminal"

    assert everything(today) == before


def test_missing_and_unknown_words_are_named_and_change_nothing(shell: Shell, today: Heart) -> None:
    before = everything(today)

    for name, (command, _) in ALL.items():
        # A key's identifier may begin with a dash.
        expected = "No such option" if name != "keys retire" else "There is no key '--nonsense'"
        assert expected in shell.refusal(*name.split(), "--nonsense")
        if any(parameter.required for parameter in command.params):
            assert_one_sentence(shell.refusal(*name.split()))
        if any(parameter.nargs == -1 for parameter in command.params):
            continue  # any number of identifiers is right here
        sentence = shell.refusal(*name.split(), "one", "two", "three", "four")
        assert "unexpected extra argument" in sentence or "Missing" in sentence or "No such" in sentence

    assert everything(today) == before


def test_unknown_commands_are_named(shell: Shell) -> None:
    for words in (["nonsense"], ["users", "nonsense"], ["clients", "\x00"], ["keys", "x" * 70_000]):
        assert "No such command" in shell.refusal(*words)


@pytest.mark.parametrize(
    "address",
    ["postgresql://idp:hunter2@127.0.0.1:1/idp", "sqlite:////proc/nowhere/idp.sqlite3"],
)
def test_every_command_says_so_when_the_database_is_closed(address: str, impatient: None) -> None:
    shell = Shell({"IDP_SECRET": SECRET, "IDP_DATABASE_URL": address})

    for name, (_, words) in ALL.items():
        result = shell.run(*filled(name, words, "ada@example.com"), given=PASSWORD)
        assert result.exit_code == 1, (name, result.output)
        assert isinstance(result.exception, SystemExit), (name, result.exception)
        said = result.output + result.stderr
        assert_one_sentence(said)
        assert "hunter2" not in said


def test_a_value_outside_its_kind_names_the_option(shell: Shell, today: Heart) -> None:
    before = everything(today)

    for words, sentence in (
        (("serve", "--port", "0"), "--port"),
        (("serve", "--port", "many"), "--port"),
        (("serve", "--workers", "0"), "--workers"),
        (("serve", "--server", "apache"), "--server"),
        (("purge", "--batch", "0"), "--batch"),
        (("purge", "--batch", "1e3"), "--batch"),
        (("db", "restored", "--since", "yesterday"), "--since"),
        (("db", "restored", "--since", "2999-01-01T00:00:00Z"), "--since"),
        (("users", "create", "--email", "ada@example.com", "--username", "a@b", "--password-stdin"), "username"),
        (("clients", "create", "--name", "", "--redirect-uri", "https://x.example/"), "name"),
        (("clients", "create", "--name", "X", "--redirect-uri", "javascript:alert(1)"), "redirect_uri"),
        (("doctor", "--forwarded-for", "192.0.2.1"), "--peer"),
    ):
        assert sentence in shell.refusal(*words, given=PASSWORD), words

    assert everything(today) == before
