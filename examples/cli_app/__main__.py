"""A command-line tool that signs in as coding assistants do: `python -m examples.cli_app login` (see README.md)."""

import argparse
import json
import os
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from examples.cli_app.access import get_fresh_tokens, refresh_now
from examples.cli_app.problems import Problem, SignInNeeded, Unreachable
from examples.cli_app.provider import AccessTokenRefused, Provider
from examples.cli_app.sign_in import sign_in
from examples.cli_app.token_file import TokenFile, Tokens, default_path

EXIT_STATUSES = "exit status: 0 done, 1 refused, 2 wrong use, 3 sign-in needed, 4 provider not reachable"


def main(
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    wait: Callable[[float], None] = time.sleep,
    open_browser: Callable[[str], object] = webbrowser.open,
) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    issuer, client_id = environment.get("OP_ISSUER", ""), environment.get("CLI_CLIENT_ID", "")
    if not issuer or not client_id:
        return _complain("OP_ISSUER and CLI_CLIENT_ID must be set.", 2)
    file = TokenFile(default_path(environment), with_lock=environment.get("CLI_APP_NO_LOCK") != "1")
    try:
        provider = Provider(issuer, client_id, wait=wait)
        commands: dict[str, Callable[[], None]] = {
            "login": lambda: _log_in(provider, file, options, open_browser),
            "whoami": lambda: _show_who(provider, file, as_json=options.json),
            "status": lambda: _show_status(provider, file),
            "refresh": lambda: _refresh(provider, file),
            "logout": lambda: _log_out(file, wait),
        }
        commands[options.command]()
    except Problem as problem:
        return _complain(str(problem), problem.exit_status)
    except OSError as error:
        return _complain(f"The token file {file.path} can't be used: {error.strerror}.", 1)
    except KeyboardInterrupt:
        return _complain("Interrupted.", 130)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cli_app", description="Signs in with a browser.", epilog=EXIT_STATUSES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    login = commands.add_parser("login", help="sign in with the browser")
    login.add_argument("--no-browser", action="store_true", help="only print the address, open no browser")
    login.add_argument("--seconds", type=float, default=300, help="how long to wait for the sign-in (300)")
    whoami = commands.add_parser("whoami", help="ask the provider who is signed in")
    whoami.add_argument("--json", action="store_true", help="print all that the provider says")
    commands.add_parser("status", help="say whether this tool is signed in, and since when")
    commands.add_parser("refresh", help="get a new access token now")
    commands.add_parser("logout", help="sign this tool out, here and at the provider")
    return parser


def _log_in(
    provider: Provider, file: TokenFile, options: argparse.Namespace, open_browser: Callable[[str], object]
) -> None:
    def show_address(address: str) -> None:
        print("Open this address to sign in:", address, sep="\n", file=sys.stderr, flush=True)
        if not options.no_browser:
            open_browser(address)

    tokens = sign_in(provider, show_address=show_address, seconds=options.seconds)
    tokens = replace(tokens, name=_find_name(provider, tokens))
    with file.locked():
        previous = file.load()
        file.save(tokens)
    if previous and (previous.issuer, previous.client_id) == (tokens.issuer, tokens.client_id):
        _revoke_quietly(provider, previous)  # or the account page would list a sign-in that no tool uses any more
    print(f"You are signed in as {_printable(tokens.name)}.")


def _find_name(provider: Provider, tokens: Tokens) -> str:
    """The person's name, which ID tokens need not have; the subject when the provider does not say."""
    try:
        claims = provider.userinfo(tokens.access_token)
    except (Problem, AccessTokenRefused):
        return tokens.sub
    # OpenID Connect Core §5.3.2: an answer with another `sub` is about somebody else.
    return _name_of(claims) if claims.get("sub") == tokens.sub else tokens.sub


def _name_of(claims: Mapping[str, Any]) -> str:
    return str(claims.get("name") or claims.get("preferred_username") or claims.get("sub", ""))


def _revoke_quietly(provider: Provider, tokens: Tokens) -> None:
    try:
        provider.revoke(tokens.refresh_token)
    except Problem as problem:
        print(f"The sign-in before this one could not be ended: {problem}", file=sys.stderr)


def _ask_who(provider: Provider, file: TokenFile) -> Mapping[str, Any]:
    """What the provider says now; a refused access token is refreshed once, since it may only have expired early."""
    tokens = get_fresh_tokens(provider, file)
    try:
        return provider.userinfo(tokens.access_token)
    except AccessTokenRefused:
        tokens = get_fresh_tokens(provider, file, refused=tokens.access_token)
    try:
        return provider.userinfo(tokens.access_token)
    except AccessTokenRefused:
        raise Problem("The provider takes neither the old nor a new access token.") from None


def _show_who(provider: Provider, file: TokenFile, *, as_json: bool) -> None:
    claims = _ask_who(provider, file)
    if as_json:
        print(json.dumps(claims, indent=2))
        return
    name = _name_of(claims)
    print(_printable(f"{name} ({claims['email']})" if claims.get("email") else name))


def _show_status(provider: Provider, file: TokenFile) -> None:
    """Asks the provider: what the file says alone may be out of date."""
    try:
        _ask_who(provider, file)
    except Unreachable:
        tokens = file.load()
        if tokens:
            print(f"When last heard of, you were signed in as {_printable(tokens.name)}.")
        raise
    tokens = file.load()
    if tokens is None:
        raise SignInNeeded("You are not signed in. Run `login` first.")
    since = datetime.fromtimestamp(tokens.signed_in_at).astimezone().strftime("%d %B %Y, %H:%M")
    print(f"You are signed in as {_printable(tokens.name)} at {provider.issuer} since {since}.")
    print(f"The access token is good for {max(0, int(tokens.access_expires_at - time.time()))} seconds.")
    print(f"The tokens are in {file.path}.")


def _refresh(provider: Provider, file: TokenFile) -> None:
    before, after = refresh_now(provider, file)
    kept = "the same refresh token" if after.refresh_token == before.refresh_token else "a new refresh token"
    print(f"Refreshed: an access token for {int(after.access_expires_at - time.time())} seconds, and {kept}.")


def _log_out(file: TokenFile, wait: Callable[[float], None]) -> None:
    """Here in any case: whoever signs out does not want to leave a token on this machine."""
    with file.locked():
        tokens = file.load()
        file.remove()
    if tokens is None:
        print("You were not signed in.")
        return
    try:
        Provider(tokens.issuer, tokens.client_id, wait=wait).revoke(tokens.refresh_token)
    except Unreachable:
        what = f"You are signed out here, but {tokens.issuer} could not be told."
        raise Unreachable(f"{what} Please end this tool's sign-in on the account page.") from None
    print("You are signed out.")


def _printable(text: str) -> str:
    """Names come from outside, and control characters could rewrite the screen."""
    return "".join(character for character in text if character.isprintable())


def _complain(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
