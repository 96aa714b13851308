"""What people allowed clients: one row in force per person and client, withdrawn ones kept as history.

A consent only grows while it is in force (its scopes are united, never replaced), so that two consent pages answered
in two tabs can't take from each other. Withdrawing marks the row; the caller ends the client's sessions in the same
transaction (design §6).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import Client, Consent
from idp.kit.identifiers import new_identifier, shard_key_in


@dataclass(frozen=True)
class ConsentRow:
    """One consent in force, with the client it was given to."""

    client: Client
    scopes: tuple[str, ...]
    granted_at: datetime
    updated_at: datetime


def find_consent(tx: Tx, user_id: str, client_id: str) -> Consent | None:
    """The consent in force, or None."""
    return tx.scalar(
        select(Consent).where(
            Consent.user_id == user_id, Consent.client_id == client_id, Consent.withdrawn_at.is_(None)
        )
    )


def hold_consent(tx: Tx, user_id: str, client_id: str) -> Consent | None:
    """As `find_consent`, and nobody withdraws it before this transaction ends. Call it before the session is locked.

    Without the lock a code could be issued on a consent that was withdrawn, and its tokens ended, a moment before.
    """
    return tx.scalar(
        select(Consent)
        .where(Consent.user_id == user_id, Consent.client_id == client_id, Consent.withdrawn_at.is_(None))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def grant_consent(tx: Tx, *, user_id: str, client_id: str, scopes: tuple[str, ...], now: datetime) -> Consent:
    """Add `scopes` to what the person allowed the client, and return the consent in force."""
    _insert_if_absent(
        tx,
        {
            "id": new_identifier(shard_key_in(user_id), now),
            "user_id": user_id,
            "client_id": client_id,
            "scopes": (),
            "granted_at": now,
            "updated_at": now,
        },
    )
    # The row exists now; the lock makes two answers from two tabs unite their scopes instead of overwriting each other.
    consent = hold_consent(tx, user_id, client_id)
    assert consent is not None
    consent.scopes = tuple(dict.fromkeys((*consent.scopes, *scopes)))
    consent.updated_at = now
    tx.flush()
    record(tx, "consent_given", now=now, user_id=user_id, client_id=client_id, details={"scopes": list(scopes)})
    return consent


def _insert_if_absent(tx: Tx, row: dict[str, Any]) -> None:
    insert = sqlite.insert if tx.get_bind().dialect.name == "sqlite" else postgresql.insert
    tx.execute(
        insert(Consent)
        .values(row)
        .on_conflict_do_nothing(index_elements=["user_id", "client_id"], index_where=Consent.withdrawn_at.is_(None))
    )


def withdraw_consent(tx: Tx, *, user_id: str, client_id: str, now: datetime) -> bool:
    """Mark the consent in force as withdrawn. False when there was none.

    The caller then ends what the client holds, by `sessions.end_client_for_user`, in the same transaction.
    """
    withdrawn = tx.scalar(
        update(Consent)
        .where(Consent.user_id == user_id, Consent.client_id == client_id, Consent.withdrawn_at.is_(None))
        .values(withdrawn_at=now, updated_at=now)
        .returning(Consent.id)
        .execution_options(synchronize_session=False)
    )
    if withdrawn is None:
        return False
    record(tx, "consent_withdrawn", now=now, user_id=user_id, client_id=client_id)
    return True


def list_consents(tx: Tx, user_id: str) -> list[ConsentRow]:
    """All consents in force of a person, the latest first, deleted clients left out."""
    rows = tx.execute(
        select(Consent, Client)
        .join(Client, Client.id == Consent.client_id)
        .where(Consent.user_id == user_id, Consent.withdrawn_at.is_(None), Client.deleted_at.is_(None))
        .order_by(Consent.granted_at.desc(), Consent.id.desc())
    )
    return [ConsentRow(client, consent.scopes, consent.granted_at, consent.updated_at) for consent, client in rows]
