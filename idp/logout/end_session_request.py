"""A request to the end_session_endpoint, read and checked (RP-Initiated Logout 1.0 §2, §3).

Nothing about it can be wrong enough to keep a person signed in: a bad hint, client or address only means that nobody is
redirected and that the person is asked (lesson 6).
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from idp.clients import AskingClient, find_asking
from idp.db.engine import SingleStatements
from idp.keys import KeyStore
from idp.tokens import IdTokenHint, read_id_token_hint

PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "logout_hint", "ui_locales")
# What has to survive the browser's round trips, with room for a long hint.
MAXIMUM_LENGTH = 8192


class Unreadable(Exception):
    """A parameter is there twice or is far too long. Its text names the parameter."""


@dataclass(frozen=True)
class EndSessionRequest:
    """What an RP asked, verified. `return_address` is complete and registered, or None: then nobody is redirected."""

    client: AskingClient | None
    hint: IdTokenHint | None
    return_address: str | None


def read_parameters(given: MultiDict[str, str]) -> dict[str, str]:
    """The parameters we know, each at most once. Raises `Unreadable`."""
    read: dict[str, str] = {}
    for name in PARAMETERS:
        values = given.getlist(name)
        if len(values) > 1:
            raise Unreadable(f"{name} was sent more than once")
        if values and len(values[0]) > MAXIMUM_LENGTH:
            raise Unreadable(f"{name} is too long")
        if values and values[0]:
            read[name] = values[0]
    return read


def read_hint(parameters: dict[str, str], *, keys: KeyStore, issuer: str, now: datetime) -> IdTokenHint | None:
    """The hint, if it is an ID token of ours. Asked before a transaction is opened: it may load keys."""
    text = parameters.get("id_token_hint")
    return read_id_token_hint(text, keys=keys, issuer=issuer, now=now) if text else None


def check_request(
    statements: SingleStatements, parameters: dict[str, str], hint: IdTokenHint | None
) -> EndSessionRequest:
    """Find out who asks, and where the person may be sent afterwards."""
    client_id = parameters.get("client_id")
    hint_was_bad = hint is None and "id_token_hint" in parameters
    # §2: sent together, client_id must be the audience of the hint. A mismatch makes both worthless.
    if hint is not None and client_id is not None and client_id != hint.audience:
        return EndSessionRequest(None, None, None)
    wanted = hint.audience if hint else client_id
    client = find_asking(statements, wanted) if wanted else None
    if client is None or client.disabled_at is not None:
        return EndSessionRequest(None, None, None)
    return EndSessionRequest(client, hint, None if hint_was_bad else _return_address(client, parameters))


def _return_address(client: AskingClient, parameters: dict[str, str]) -> str | None:
    uri = parameters.get("post_logout_redirect_uri")
    # §3: "exactly match", as strings. No port freedom here, nothing parsed again.
    if uri is None or uri not in client.post_logout_redirect_uris:
        return None
    if "state" not in parameters:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': parameters['state']})}"
