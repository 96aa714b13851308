"""The audit trail: one row per security-relevant commit, in that commit (I18).

A plain successful refresh or introspection writes none. Details hold identifiers and counts, never a secret, a token
or an address of a link.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import insert

from idp.db.engine import Tx
from idp.db.models import AuditEvent
from idp.db.once import run
from idp.kit.identifiers import new_identifier, shard_key_in, shard_key_of

__all__ = ["record"]

_INSERT = insert(AuditEvent)


def record(
    tx: Tx,
    kind: str,
    *,
    now: datetime,
    user_id: str | None = None,
    client_id: str | None = None,
    session_id: str | None = None,
    actor: str = "",
    ip_address: str = "",
    details: dict[str, Any] | None = None,
) -> None:
    """Write one row in the caller's transaction: it stands exactly when what it tells of stands."""
    shard_key = shard_key_in(user_id) if user_id else shard_key_of(client_id or "")
    run(
        tx,
        _INSERT,
        {
            "id": new_identifier(shard_key, now),
            "occurred_at": now,
            "kind": kind,
            "user_id": user_id,
            "client_id": client_id,
            "session_id": session_id,
            "actor": actor,
            "ip_address": ip_address,
            "details": details or {},
        },
    )
