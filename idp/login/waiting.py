"""For what somebody signs in: a waiting authorization request, one of our own pages, or nothing in particular.

The destination is never taken from the request as it comes: it is a stored request of this very browser, or a path that
passed the strict parser (open redirects, RFC 9700 §4.11).
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from flask import Request
from werkzeug.exceptions import BadRequest

from idp.clients import find_client
from idp.db.engine import Tx
from idp.db.models import Client, StoredRequestKind
from idp.kit.uris import origin_of, redirect_uri_matches
from idp.web import known_browser_binding, own_path, own_url
from idp.web.stored_requests import find
from idp.web.views import ClientCard, client_card

MAXIMUM_HINT = 254


@dataclass(frozen=True)
class Waiting:
    """Where sign-in leads. `query` repeats it in the form's address, so that a failed attempt forgets nothing."""

    destination: str
    query: dict[str, str]
    client: ClientCard | None = None
    form_action: tuple[str, ...] = ()
    login_hint: str = ""
    asked_at: datetime | None = None


class WaitingIsOver:
    """The request that somebody was signing in for is used up, too old, or belongs to another browser."""


def find_waiting(tx: Tx, request: Request, *, now: datetime) -> Waiting | WaitingIsOver:
    """What this address of the sign-in page waits for. At most two statements."""
    handle = single(request, "request")
    if handle is None:
        asked = own_path(single(request, "next"))
        if asked is None or asked.partition("?")[0] == own_url("/login"):
            return Waiting(destination=own_url("/account"), query={})
        return Waiting(destination=asked, query={"next": asked})
    stored = find(tx, handle, kind=StoredRequestKind.AUTHORIZE, browser=known_browser_binding(), now=now)
    client = find_client(tx, stored.client_id) if stored and stored.client_id else None
    if stored is None or client is None:
        return WaitingIsOver()
    redirect_uri = _verified_redirect(client, stored.parameters.get("redirect_uri"))
    hint = stored.parameters.get("login_hint")
    return Waiting(
        destination=own_url("/oauth2/authorize?" + urlencode({"request": handle})),
        query={"request": handle},
        client=client_card(client, redirect_uri),
        # Browsers apply form-action to the redirects that follow a form, up to the application's own address.
        form_action=(origin_of(redirect_uri),) if redirect_uri else (),
        login_hint=hint[:MAXIMUM_HINT] if isinstance(hint, str) else "",
        # An operator who asked meanwhile for new sign-ins to this client asked later (`idp policy sign-in-again`).
        asked_at=max(stored.created_at, client.sign_in_again_since or stored.created_at),
    )


def single(request: Request, name: str) -> str | None:
    """A query parameter or None. Sent twice, it is refused: which one counts must not be a matter of luck."""
    values = request.args.getlist(name)
    if len(values) > 1:
        raise BadRequest(f"{name} was sent more than once.")
    return values[0] if values else None


def _verified_redirect(client: Client, sent: object) -> str | None:
    if isinstance(sent, str):
        return sent if any(redirect_uri_matches(known, sent) for known in client.redirect_uris) else None
    return client.redirect_uris[0] if len(client.redirect_uris) == 1 else None
