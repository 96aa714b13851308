"""What people allowed clients: one row in force per person and client, withdrawn ones kept as history.

A consent only grows while it is in force (its scopes are united, never replaced), so that two consent pages answered
in two tabs can't take from each other. Withdrawing marks the row; the caller ends the client's sessions in the same
transaction (design §6).
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Dialect, String, and_, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from idp.audit import record
from idp.db.engine import SingleStatements, Tx
from idp.db.fixed import FixedStatement
from idp.db.models import Client, Consent
from idp.db.once import run
from idp.db.types import UTCDateTime, Words
from idp.kit.identifiers import new_identifier, shard_key_in


@dataclass(frozen=True)
class ConsentRow:
    """One consent in force, with the client it was given to."""

    client: Client
    scopes: tuple[str, ...]
    granted_at: datetime
    updated_at: datetime


_IN_FORCE = and_(
    Consent.user_id == bindparam("person", type_=String()),
    Consent.client_id == bindparam("client", type_=String()),
    Consent.withdrawn_at.is_(None),
)
_HOLD = select(Consent.scopes).where(_IN_FORCE).with_for_update(key_share=True)
_ADD = {
    name: insert(Consent).on_conflict_do_nothing(
        index_elements=["user_id", "client_id"], index_where=Consent.withdrawn_at.is_(None)
    )
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_UNITE = (
    update(Consent)
    .where(_IN_FORCE)
    .values(scopes=bindparam("united", type_=Words()), updated_at=bindparam("now", type_=UTCDateTime()))
)


def find_consent(statements: SingleStatements, user_id: str, client_id: str) -> tuple[str, ...] | None:
    """The scopes of the consent in force, or None."""
    found = statements.one_or_none(_scopes_in_force(statements.dialect), {"person": user_id, "client": client_id})
    return None if found is None else tuple(found.scopes)


@lru_cache(maxsize=2)
def _scopes_in_force(dialect: Dialect) -> FixedStatement:
    return FixedStatement(select(Consent).where(_IN_FORCE), (Consent.scopes,), dialect)


def hold_consent(tx: Tx, user_id: str, client_id: str) -> tuple[str, ...] | None:
    """As `find_consent`, and nobody withdraws it before this transaction ends. Call it before the session is locked.

    Without the lock a code could be issued on a consent that was withdrawn, and its tokens ended, a moment before.
    """
    row = run(tx, _HOLD, {"person": user_id, "client": client_id}).one_or_none()
    return None if row is None else tuple(row.scopes)


def grant_consent(tx: Tx, *, user_id: str, client_id: str, scopes: tuple[str, ...], now: datetime) -> tuple[str, ...]:
    """Add `scopes` to what the person allowed the client, and return those of the consent in force."""
    row = {
        "id": new_identifier(shard_key_in(user_id), now),
        "user_id": user_id,
        "client_id": client_id,
        "scopes": (),
        "granted_at": now,
        "updated_at": now,
    }
    held = None
    while held is None:  # again only if the one in force was withdrawn between the two statements: then ours goes in
        run(tx, _ADD[tx.get_bind().dialect.name], row)
        # A row exists now; the lock makes answers from two tabs unite their scopes instead of overwriting each other.
        held = hold_consent(tx, user_id, client_id)
    united = tuple(dict.fromkeys((*held, *scopes)))
    run(tx, _UNITE, {"person": user_id, "client": client_id, "united": united, "now": now})
    record(tx, "consent_given", now=now, user_id=user_id, client_id=client_id, details={"scopes": list(scopes)})
    return united


def withdraw_consent(tx: Tx, *, user_id: str, client_id: str, now: datetime) -> bool:
    """Mark the consent in force as withdrawn. False when there was none.

    The caller has locked the person, and then ends what the client holds by `sessions.end_client_for_user`, all in one
    transaction.
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
