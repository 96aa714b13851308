"""Registering and changing clients: what an operator asks for, checked as a whole, stored as one row.

Serves RFC 7591 §2 (the metadata and its defaults), RFC 9700 §2.1 (redirect URIs, PKCE) and §4.14.2 (rotation), RFC
8252 §8. All problems are reported at once, each with the field's name. Nothing here fetches an address.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from idp.audit import record
from idp.clients.lifecycle import PUBLIC_METHOD, add_client_secret
from idp.clients.spec_check import ClientProblem, ClientSpec, find_problems
from idp.db.engine import Tx
from idp.db.models import Client, RefreshBinding
from idp.kit.identifiers import SHARDS, new_identifier
from idp.kit.opaque import Secret
from idp.kit.uris import is_native_redirect

__all__ = ["ClientProblem", "ClientSpec", "CreatedClient", "create_client", "update_client"]

WEB_GRANTS = ("authorization_code", "refresh_token")
SERVICE_GRANTS = ("client_credentials",)
WEB_SCOPES = ("openid", "profile", "email", "address", "phone", "offline_access")


@dataclass(frozen=True)
class CreatedClient:
    """The new client, and its secret: shown this one time, kept only as a hash. None for a public client."""

    client: Client
    secret: Secret | None


def create_client(tx: Tx, *, spec: ClientSpec, now: datetime) -> CreatedClient | list[ClientProblem]:
    """Register a client, or return every reason why it can't be."""
    spec = _with_defaults(spec)
    if problems := find_problems(spec):
        return problems
    client = Client(
        id=new_identifier(secrets.randbelow(SHARDS), now),
        response_types=["code"] if "authorization_code" in (spec.grant_types or ()) else [],
        created_at=now,
        **_columns(spec),
    )
    tx.add(client)
    tx.flush()
    secret = None if spec.public else add_client_secret(tx, client.id, now)
    record(tx, "client_created", now=now, client_id=client.id, details={"name": spec.name})
    return CreatedClient(client, secret)


def update_client(tx: Tx, *, client_id: str, now: datetime, **changes: Any) -> Client | list[ClientProblem] | None:
    """Change fields of `ClientSpec` by name; the result is checked as a whole. None when the client is unknown.

    Whether a client is public never changes: its tokens were issued under the rules of what it was.
    """
    client = tx.scalar(
        select(Client).where(Client.id == client_id, Client.deleted_at.is_(None)).with_for_update(key_share=True)
    )
    if client is None:
        return None
    if "public" in changes:
        return [ClientProblem("public", "can't change after registration; create another client")]
    spec = _with_defaults(replace(_spec_of(client), **changes))
    if problems := find_problems(spec):
        return problems
    for name, value in _columns(spec).items():
        setattr(client, name, value)
    tx.flush()
    record(tx, "client_updated", now=now, client_id=client_id, details={"fields": sorted(changes)})
    return client


def _with_defaults(spec: ClientSpec) -> ClientSpec:
    """Fill what was left open. A client without redirect URIs is a service that speaks for itself."""
    is_service = not spec.redirect_uris
    is_native = _is_native(spec)
    grant_types = spec.grant_types if spec.grant_types is not None else (SERVICE_GRANTS if is_service else WEB_GRANTS)
    resources = spec.allowed_resources
    if spec.default_resource is not None and spec.default_resource not in resources:
        resources = (*resources, spec.default_resource)
    return replace(
        spec,
        grant_types=grant_types,
        scopes=spec.scopes if spec.scopes is not None else (() if is_service else WEB_SCOPES),
        token_endpoint_auth_method=spec.token_endpoint_auth_method
        or (PUBLIC_METHOD if spec.public else "client_secret_basic"),
        # An installed app lives beside the browser in which it was approved, not inside that sign-in.
        refresh_binding=spec.refresh_binding or (RefreshBinding.STANDALONE if is_native else RefreshBinding.SESSION),
        allowed_resources=resources,
    )


def _is_native(spec: ClientSpec) -> bool:
    """Public, and answered by a program on the person's own device (RFC 8252)."""
    return spec.public and any(_may_be_native(uri) for uri in spec.redirect_uris)


def _may_be_native(uri: str) -> bool:
    try:
        return is_native_redirect(uri)
    except ValueError:  # malformed: `find_problems` says so
        return False


_NOT_COLUMNS = {"public"}
_LISTS = {"redirect_uris", "post_logout_redirect_uris", "allowed_resources", "resource_identifiers"}


def _columns(spec: ClientSpec) -> dict[str, Any]:
    columns = {name: list(value) if name in _LISTS else value for name, value in _values(spec)}
    return {
        **{name: value for name, value in columns.items() if name not in _NOT_COLUMNS},
        "is_native": _is_native(spec),
    }


def _values(spec: ClientSpec) -> Iterator[tuple[str, Any]]:
    for field in fields(spec):
        yield field.name, getattr(spec, field.name)


def _spec_of(client: Client) -> ClientSpec:
    kept: dict[str, Any] = {
        field.name: tuple(getattr(client, field.name)) if field.name in _LISTS else getattr(client, field.name)
        for field in fields(ClientSpec)
        if field.name not in _NOT_COLUMNS
    }
    return ClientSpec(public=client.token_endpoint_auth_method == PUBLIC_METHOD, **kept)
