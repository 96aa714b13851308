"""Applications that tests of `idp clients` register, by the command itself."""

from datetime import timedelta
from typing import Any

from idp.clients import authenticate_secret
from tests.cli.shell import Shell
from tests.support.heart import Heart

WEB = ("--name", "Wiki", "--redirect-uri", "https://wiki.example/callback")


def created(shell: Shell, *more: str) -> dict[str, Any]:
    made: dict[str, Any] = shell.json("clients", "create", *WEB, *more)
    return made


def accepts(heart: Heart, client_id: str, secret: str, *, after: timedelta = timedelta()) -> bool:
    with heart.database.reading() as tx:
        return authenticate_secret(tx, client_id, secret, heart.now + after) is not None
