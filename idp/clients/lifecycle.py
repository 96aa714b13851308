"""What happens to a client after it was created: new secrets, disabling, enabling, deleting.

Disabling and deleting only mark the row; every check reads that mark. The caller ends the client's participations and
app sessions by `sessions.end_client_everywhere` in the same transaction (design §6).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, select, update

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import Client, ClientSecret
from idp.kit.identifiers import new_identifier, shard_key_of
from idp.kit.opaque import Secret, hash_secret, new_secret

SECRET_PREFIX = "idp_cs_"
PUBLIC_METHOD = "none"


def add_client_secret(tx: Tx, client_id: str, now: datetime) -> Secret:
    """Give the client one more secret of 256 random bits; only its hash is kept."""
    secret = Secret(SECRET_PREFIX + new_secret(256).reveal())
    tx.add(
        ClientSecret(
            id=new_identifier(shard_key_of(client_id), now),
            client_id=client_id,
            secret_hash=hash_secret(secret.reveal()),
            created_at=now,
        )
    )
    tx.flush()
    return secret


@dataclass(frozen=True)
class RotatedSecret:
    """The new secret, and until when the one before works (this moment: no more)."""

    secret: Secret
    previous_ends_at: datetime


@dataclass(frozen=True)
class RotationUnderWay:
    """Two secrets are live already, the elder until `ends_at`: which of them the client uses, nobody here knows."""

    ends_at: datetime


def hold_client(tx: Tx, client_id: str) -> Client | None:
    """The client, its row locked against a change by others; None when it is unknown or deleted."""
    return tx.scalar(
        select(Client)
        .where(Client.id == client_id, Client.deleted_at.is_(None))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def rotate_client_secret(
    tx: Tx, *, client_id: str, overlap: timedelta, now: datetime, replaces_newest: bool = False
) -> RotatedSecret | RotationUnderWay | None:
    """A new secret; the one so far stops working after `overlap` (zero: now). None for a public or unknown client.

    At most two are ever live. A second rotation within the overlap of the first is therefore refused, unless it names
    which one goes: without an overlap only the new one is left; with `replaces_newest` the newest of those so far goes
    now (it was lost, and nobody uses it), and the elder one keeps its moment.
    """
    client = hold_client(tx, client_id)
    if client is None or client.token_endpoint_auth_method == PUBLIC_METHOD:
        return None
    live = tx.execute(
        select(ClientSecret.id, ClientSecret.expires_at)
        .where(
            ClientSecret.client_id == client_id, or_(ClientSecret.expires_at.is_(None), ClientSecret.expires_at > now)
        )
        .order_by(ClientSecret.expires_at.is_(None), ClientSecret.expires_at)  # the newest, without an end, last
    ).all()
    if len(live) > 1 and overlap:
        if not replaces_newest:
            return RotationUnderWay(live[0].expires_at)
        tx.execute(delete(ClientSecret).where(ClientSecret.id.in_([row.id for row in live[1:]])))
        overlap = min(overlap, live[0].expires_at - now)
    ends_at = now + overlap
    tx.execute(
        update(ClientSecret)
        .where(
            ClientSecret.client_id == client_id,
            or_(ClientSecret.expires_at.is_(None), ClientSecret.expires_at > ends_at),
        )
        .values(expires_at=ends_at)
        .execution_options(synchronize_session=False)
    )
    tx.execute(delete(ClientSecret).where(ClientSecret.client_id == client_id, ClientSecret.expires_at <= now))
    details = {"overlap_seconds": overlap.total_seconds()}
    record(tx, "client_secret_rotated", now=now, client_id=client_id, details=details)
    return RotatedSecret(add_client_secret(tx, client_id, now), ends_at)


def disable_client(tx: Tx, *, client_id: str, now: datetime) -> bool:
    """Refuse the client everywhere from now on. False when it is unknown or disabled already.

    Its epoch is raised: a code from before stays worthless after it is enabled again, whatever the clocks say.
    """
    return _mark(tx, client_id, now, kind="client_disabled", disabled_at=now, epoch=Client.epoch + 1)


def enable_client(tx: Tx, *, client_id: str, now: datetime) -> bool:
    """Admit a disabled client again; what was ended stays ended. False when it is unknown or not disabled.

    The caller has ended what a redemption in flight may have left since the disabling, and holds the client.
    """
    return _mark(tx, client_id, now, kind="client_enabled", disabled_at=None)


def delete_client(tx: Tx, *, client_id: str, now: datetime) -> bool:
    """Mark the client as deleted for good. Its row stays: sessions, families and the audit trail refer to it."""
    marked = tx.scalar(
        update(Client)
        .where(Client.id == client_id, Client.deleted_at.is_(None))
        .values(deleted_at=now)
        .returning(Client.id)
        .execution_options(synchronize_session=False)
    )
    if marked is None:
        return False
    tx.execute(delete(ClientSecret).where(ClientSecret.client_id == client_id))
    record(tx, "client_deleted", now=now, client_id=client_id)
    return True


def _mark(tx: Tx, client_id: str, now: datetime, *, kind: str, disabled_at: datetime | None, **values: Any) -> bool:
    is_otherwise = Client.disabled_at.is_(None) if disabled_at else Client.disabled_at.is_not(None)
    marked = tx.scalar(
        update(Client)
        .where(Client.id == client_id, Client.deleted_at.is_(None), is_otherwise)
        .values(disabled_at=disabled_at, **values)
        .returning(Client.id)
        .execution_options(synchronize_session=False)
    )
    if marked is None:
        return False
    record(tx, kind, now=now, client_id=client_id)
    return True
