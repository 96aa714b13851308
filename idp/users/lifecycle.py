"""What happens to an account after it was made: disabled, enabled, deleted, given another password.

Deleting wipes what is known of the person and leaves a tombstone, so that `sub` is never given to anybody else (I15),
while the names are free again. Nothing here ends a session: the caller calls `sessions.end_everything` in the same
transaction (design §6), which also raises the epoch. Each function locks the user row first, by its UPDATE.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, update

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import Consent, MailMessage, User


def disable_user(tx: Tx, *, user_id: str, actor: str, now: datetime) -> bool:
    """Refuse the person by every path from now on. False when unknown, deleted or disabled already."""
    return _change(tx, user_id, "user_disabled", actor, now, where=User.disabled_at.is_(None), disabled_at=now)


def enable_user(tx: Tx, *, user_id: str, actor: str, now: datetime) -> bool:
    """Admit a disabled person again; what was ended stays ended. False when unknown, deleted or not disabled."""
    return _change(tx, user_id, "user_enabled", actor, now, where=User.disabled_at.is_not(None), disabled_at=None)


def delete_user(tx: Tx, *, user_id: str, actor: str, now: datetime) -> bool:
    """Wipe the account for good: names, address, password, claims, consents and mail. False when there is none.

    Nobody finds it any more, and others may have its names. The caller then ends everything. What stays: identifier,
    `sub`, epoch and the times, as a tombstone that notices, history and audit refer to.
    """
    is_marked = _change(
        tx,
        user_id,
        "user_deleted",
        actor,
        now,
        deleted_at=now,
        username=None,
        username_key=None,
        email=None,
        email_key=None,
        email_verified_at=None,
        password_hash=None,
        password_changed_at=None,
        claims={},
        claims_updated_at=now,
    )
    if not is_marked:
        return False
    tx.execute(
        update(Consent)
        .where(Consent.user_id == user_id, Consent.withdrawn_at.is_(None))
        .values(withdrawn_at=now, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    # Waiting mail too: nobody is left to read it, and each message holds a name and an address.
    tx.execute(delete(MailMessage).where(MailMessage.user_id == user_id).execution_options(synchronize_session=False))
    return True


def set_password(tx: Tx, *, user_id: str, password_hash: str, actor: str, now: datetime) -> bool:
    """Replace the password, whatever it was, and raise the epoch: what is half-way under the old one never completes.

    `password_hash` comes from `hash_password`, made before the transaction. False when there is no such account.
    """
    return _change(
        tx,
        user_id,
        "password_set",
        actor,
        now,
        password_hash=password_hash,
        password_changed_at=now,
        # Also when every session goes on: a sign-in that verified the old password a moment ago must not (design §2.7).
        epoch=User.epoch + 1,
    )


def _change(
    tx: Tx,
    user_id: str,
    kind: str,
    actor: str,
    now: datetime,
    where: ColumnElement[bool] | None = None,
    **values: Any,
) -> bool:
    changed = tx.scalar(
        update(User)
        .where(User.id == user_id, User.deleted_at.is_(None), *([] if where is None else [where]))
        .values(**values)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    if changed is None:
        return False
    record(tx, kind, now=now, user_id=user_id, actor=actor)
    return True
