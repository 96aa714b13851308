"""A good access token whenever one is needed, with several copies of the tool sharing one refresh token.

The rules that keep people signed in: read the file again under the lock before refreshing; keep the token through every
trouble of the network; and forget it only when the provider itself says that it is over.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from examples.cli_app.problems import SignedOutElsewhere, SignInNeeded
from examples.cli_app.provider import Provider
from examples.cli_app.sign_in import lifetime_of
from examples.cli_app.token_file import TokenFile, Tokens

REFRESH_BEFORE_SECONDS = 30


def get_fresh_tokens(
    provider: Provider, file: TokenFile, *, refused: str | None = None, clock: Callable[[], float] = time.time
) -> Tokens:
    """Tokens whose access token is good for a while yet, refreshed if need be. `refused`: one that no longer works.

    Raises SignInNeeded, SignedOutElsewhere, Unreachable or Problem.
    """
    tokens = _load(provider, file)
    if _is_usable(tokens, refused, clock()):
        return tokens
    with file.locked():
        tokens = _load(provider, file)
        if _is_usable(tokens, refused, clock()):  # another copy was quicker
            return tokens
        return _refresh(provider, file, tokens, clock)


def refresh_now(
    provider: Provider, file: TokenFile, *, clock: Callable[[], float] = time.time
) -> tuple[Tokens, Tokens]:
    """Refresh whether needed or not: the tokens before and after. Raises as `get_fresh_tokens` does."""
    with file.locked():
        tokens = _load(provider, file)
        return tokens, _refresh(provider, file, tokens, clock)


def _refresh(provider: Provider, file: TokenFile, tokens: Tokens, clock: Callable[[], float]) -> Tokens:
    """Refresh `tokens`, just read from `file` under its lock, and keep the result."""
    try:
        response = provider.refresh(tokens.refresh_token)
    except SignedOutElsewhere:
        latest = file.load()
        if latest and latest.refresh_token != tokens.refresh_token:  # without locks: somebody signed in meanwhile
            return latest
        file.remove()
        raise
    refreshed = replace(
        tokens,
        access_token=response["access_token"],
        access_expires_at=clock() + lifetime_of(response),
        refresh_token=response.get("refresh_token") or tokens.refresh_token,
    )
    _load(provider, file)  # without locks: a `logout` meanwhile must not be undone
    file.save(refreshed)
    return refreshed


def _load(provider: Provider, file: TokenFile) -> Tokens:
    tokens = file.load()
    if tokens is None:
        raise SignInNeeded("You are not signed in. Run `login` first.")
    if (tokens.issuer, tokens.client_id) != (provider.issuer, provider.client_id):
        # A token must never be shown to another provider than the one that gave it.
        raise SignInNeeded(f"You are signed in at {tokens.issuer}, not at {provider.issuer}. Run `login` first.")
    return tokens


def _is_usable(tokens: Tokens, refused: str | None, now: float) -> bool:
    return tokens.access_token != refused and tokens.access_expires_at - REFRESH_BEFORE_SECONDS > now
