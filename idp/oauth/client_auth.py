"""Authenticating clients at the endpoints for programs: none, client_secret_basic, client_secret_post.

Serves RFC 6749 §2.3 and OIDC Core §9. Strictly the method that the client is registered for, and exactly one per
request: a client that could choose would let an attacker choose the weakest. Every failure gives the same answer.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus

from idp.clients import ClientTerms, ProvenClient, authenticate_secret, find_enabled, prove_client
from idp.db.engine import SingleStatements, Tx
from idp.kit.opaque import Secret
from idp.oauth.asked import Form
from idp.oauth.errors import InvalidClient, InvalidRequest

NONE, BASIC, POST = "none", "client_secret_basic", "client_secret_post"
METHODS = (BASIC, POST, NONE)
SECRET_METHODS = (BASIC, POST)
_BASIC_HEADER = re.compile(r"Basic +([A-Za-z0-9+/]{1,2000}={0,2})\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """Who a client says it is, and the one proof that it offers (None: no proof, method `none`)."""

    client_id: str
    secret: Secret | None
    method: str


def read_credentials(authorizations: list[str], form: Form) -> Credentials:
    """The credentials in a request. Raises `InvalidClient` or `InvalidRequest`; asks no database."""
    if form.get("client_assertion") or form.get("client_assertion_type"):
        raise InvalidClient
    client_id, secret = form.get("client_id") or None, form.get("client_secret") or None
    if authorizations:
        if secret is not None:
            # RFC 6749 §2.3: not more than one method in each request.
            raise InvalidRequest("The client used more than one method to authenticate.")
        credentials = _read_basic(authorizations)
        if client_id is not None and client_id != credentials.client_id:
            raise InvalidRequest("The request names two clients.")
        return credentials
    if client_id is None:
        raise InvalidClient
    return Credentials(client_id, Secret(secret), POST) if secret else Credentials(client_id, None, NONE)


def _read_basic(authorizations: list[str]) -> Credentials:
    match = _BASIC_HEADER.match(authorizations[0]) if len(authorizations) == 1 else None
    if match is None:
        raise InvalidClient
    try:
        text = b64decode(match.group(1), validate=True).decode("utf-8")
        client_id, colon, secret = text.partition(":")
        # RFC 6749 §2.3.1: both are form-encoded before they are joined.
        client_id, secret = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (Base64Error, UnicodeDecodeError):
        raise InvalidClient from None
    if not (client_id and colon and secret):
        raise InvalidClient
    return Credentials(client_id, Secret(secret), BASIC)


def authenticate(tx: Tx, credentials: Credentials, now: datetime) -> ClientTerms:
    """The client, in one statement. Raises `InvalidClient`, always the same."""
    if credentials.secret is None:
        client = find_enabled(tx, credentials.client_id)
    else:
        client = authenticate_secret(tx, credentials.client_id, credentials.secret.reveal(), now)
    if client is None or client.token_endpoint_auth_method != credentials.method:
        raise InvalidClient
    return client


def prove(statements: SingleStatements, credentials: Credentials, now: datetime) -> ProvenClient:
    """`authenticate` for the hot paths: no entity, and no transaction around it. Raises `InvalidClient`."""
    secret = credentials.secret.reveal() if credentials.secret is not None else None
    client = prove_client(statements, credentials.client_id, secret, now)
    if client is None or client.token_endpoint_auth_method != credentials.method:
        raise InvalidClient
    return client
