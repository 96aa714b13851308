"""What happens to a client after it was created: new secrets, disabling, enabling, deleting.

Disabling and deleting only mark the row; every check reads that mark. The caller ends the client's participations and
app sessions by `sessions.end_client_everywhere` in the same transaction (design §6).
"""

from datetime import datetime, timedelta

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


def rotate_client_secret(tx: Tx, *, client_id: str, overlap: timedelta, now: datetime) -> Secret | None:
    """A new secret; the ones so far stop working after `overlap` (zero: now). None for a public or unknown client."""
    client = tx.scalar(
        select(Client).where(Client.id == client_id, Client.deleted_at.is_(None)).with_for_update(key_share=True)
    )
    if client is None or client.token_endpoint_auth_method == PUBLIC_METHOD:
        return None
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
    return add_client_secret(tx, client_id, now)


def disable_client(tx: Tx, *, client_id: str, now: datetime) -> bool:
    """Refuse the client everywhere from now on. False when it is unknown or disabled already."""
    return _mark(tx, client_id, now, kind="client_disabled", disabled_at=now)


def enable_client(tx: Tx, *, client_id: str, now: datetime) -> bool:
    """Admit a disabled client again; what was ended stays ended. False when it is unknown or not disabled."""
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


def _mark(tx: Tx, client_id: str, now: datetime, *, kind: str, disabled_at: datetime | None) -> bool:
    is_otherwise = Client.disabled_at.is_(None) if disabled_at else Client.disabled_at.is_not(None)
    marked = tx.scalar(
        update(Client)
        .where(Client.id == client_id, Client.deleted_at.is_(None), is_otherwise)
        .values(disabled_at=disabled_at)
        .returning(Client.id)
        .execution_options(synchronize_session=False)
    )
    if marked is None:
        return False
    record(tx, kind, now=now, client_id=client_id)
    return True
