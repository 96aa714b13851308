"""Requests put aside while a person answers a page, or because they came by a cross-site POST without our cookie.

A stored request is found by a handle (identifier and secret, kept as a hash), belongs to the one browser whose binding
it carries, and is used once: a login, consent or logout answer for it counts a single time, however many tabs show it.
Its parameters are those of the request and are checked again whenever it is taken up: the client may have changed.
"""

import secrets
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import LargeBinary, String, bindparam, insert, select, update

from idp.db.engine import Tx
from idp.db.models import StoredRequest, StoredRequestKind
from idp.db.once import run
from idp.db.types import UTCDateTime
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
    run(
        tx,
        _INSERT,
        {
            "id": identifier,
            "kind": kind,
            "secret_hash": hash_secret(secret.reveal()),
            "browser_hash": hash_secret(browser) if browser else None,
            "client_id": client_id,
            "parameters": parameters,
            "created_at": now,
            "expires_at": now + settings.stored_request_lifetime,
        },
    )
    return make_handle(identifier, secret)


class PutAside(NamedTuple):
    """A request that was put aside and not used yet."""

    id: str
    client_id: str | None
    parameters: dict[str, Any]
    created_at: datetime
    secret_hash: bytes
    browser_hash: bytes | None


_INSERT = insert(StoredRequest)
_NOW = bindparam("now", type_=UTCDateTime())
_IS_UNUSED = (
    StoredRequest.id == bindparam("request", type_=String()),
    StoredRequest.used_at.is_(None),
    StoredRequest.expires_at > _NOW,
)
_FIND = select(*(getattr(StoredRequest, name) for name in PutAside._fields)).where(
    *_IS_UNUSED, StoredRequest.kind == bindparam("put_aside_by", type_=StoredRequest.__table__.c.kind.type)
)
_BIND = (
    update(StoredRequest)
    .where(StoredRequest.id == bindparam("request", type_=String()), StoredRequest.browser_hash.is_(None))
    .values(browser_hash=bindparam("hashed", type_=LargeBinary()))
)
_USE = update(StoredRequest).where(*_IS_UNUSED).values(used_at=_NOW)


def find(tx: Tx, handle: str, *, kind: StoredRequestKind, browser: str | None, now: datetime) -> PutAside | None:
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
    bound: bool = run(tx, _BIND, {"request": request.id, "hashed": hash_secret(browser)}).rowcount == 1
    return bound


def use(tx: Tx, request: PutAside, *, now: datetime) -> bool:
    """Use up a request that `find` returned. True for exactly one caller; the others do nothing more."""
    used: bool = run(tx, _USE, {"request": request.id, "now": now}).rowcount == 1
    return used


def _find_genuine(tx: Tx, handle: str, *, kind: StoredRequestKind, now: datetime) -> PutAside | None:
    parts = split_handle(handle)
    if parts is None:
        return None
    identifier, secret = parts
    row = run(tx, _FIND, {"request": identifier, "put_aside_by": kind, "now": now}).one_or_none()
    if row is None or not secret_matches(secret.reveal(), row.secret_hash):
        return None
    return PutAside._make(row)
