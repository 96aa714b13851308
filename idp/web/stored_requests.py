"""Requests put aside while a person answers a page, or because they came by a cross-site POST without our cookie.

A stored request is found by a handle (identifier and secret, kept as a hash), belongs to the one browser whose binding
it carries, and is used once: a login, consent or logout answer for it counts a single time, however many tabs show it.
Its parameters are those of the request and are checked again whenever it is taken up: the client may have changed.
"""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from idp.db.engine import Tx
from idp.db.models import StoredRequest, StoredRequestKind
from idp.kit.identifiers import SHARDS, new_identifier, shard_key_of
from idp.kit.opaque import hash_secret, make_handle, new_secret, secret_matches, split_handle
from idp.settings import Settings


def store(
    tx: Tx,
    *,
    kind: StoredRequestKind,
    client_id: str | None,
    parameters: dict[str, Any],
    browser: str | None,
    now: datetime,
    settings: Settings,
) -> str:
    """Put a request aside and return its handle. `browser` None: to be bound by `bind` at the first same-site GET."""
    identifier = new_identifier(shard_key_of(browser) if browser else secrets.randbelow(SHARDS), now)
    secret = new_secret(128)
    tx.add(
        StoredRequest(
            id=identifier,
            kind=kind,
            secret_hash=hash_secret(secret.reveal()),
            browser_hash=hash_secret(browser) if browser else None,
            client_id=client_id,
            parameters=parameters,
            created_at=now,
            expires_at=now + settings.stored_request_lifetime,
        )
    )
    tx.flush()
    return make_handle(identifier, secret)


def find(tx: Tx, handle: str, *, kind: StoredRequestKind, browser: str | None, now: datetime) -> StoredRequest | None:
    """The unused, unexpired request of this handle, when it belongs to this browser; None for everything else."""
    request = _find_genuine(tx, handle, kind=kind, now=now)
    if request is None or browser is None or not secret_matches(browser, request.browser_hash):
        return None
    return request


def bind(tx: Tx, handle: str, *, kind: StoredRequestKind, browser: str, now: datetime) -> bool:
    """Give an unbound request to this browser. False when it has an owner already, or is no request at all.

    Whoever follows the address first owns it: no more than following a link to the authorization endpoint gives.
    """
    request = _find_genuine(tx, handle, kind=kind, now=now)
    if request is None:
        return False
    bound = tx.execute(
        update(StoredRequest)
        .where(StoredRequest.id == request.id, StoredRequest.browser_hash.is_(None))
        .values(browser_hash=hash_secret(browser))
        .returning(StoredRequest.id)
    ).one_or_none()
    return bound is not None


def use(tx: Tx, request: StoredRequest, *, now: datetime) -> bool:
    """Use up a request that `find` returned. True for exactly one caller; the others do nothing more."""
    used = tx.execute(
        update(StoredRequest)
        .where(StoredRequest.id == request.id, StoredRequest.used_at.is_(None), StoredRequest.expires_at > now)
        .values(used_at=now)
        .returning(StoredRequest.id)
    ).one_or_none()
    return used is not None


def _find_genuine(tx: Tx, handle: str, *, kind: StoredRequestKind, now: datetime) -> StoredRequest | None:
    parts = split_handle(handle)
    if parts is None:
        return None
    identifier, secret = parts
    request = tx.scalar(
        select(StoredRequest).where(
            StoredRequest.id == identifier,
            StoredRequest.kind == kind,
            StoredRequest.used_at.is_(None),
            StoredRequest.expires_at > now,
        )
    )
    return request if request is not None and secret_matches(secret.reveal(), request.secret_hash) else None
