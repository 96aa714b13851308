"""Sealing the stored private keys under today's secret, so that an older one can be dropped.

All of them in the caller's transaction, or none: half of them under either secret would need both for ever. It changes
no key, only its wrapping: nodes that have a key open go on with it. Compromised keys are left as they are, since nobody
ever opens them again.
"""

from datetime import datetime

from sqlalchemy import select

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import SigningKey
from idp.keys.material import seal, unseal
from idp.kit.keyring import Keyring, SealedUnder


def reseal(tx: Tx, *, keyring: Keyring, now: datetime) -> list[str]:
    """Seal what was sealed under an older secret. Returns the names of those keys; none when there is nothing to do.

    Raises `idp.kit.keyring.CannotUnseal` when one of them opens under no secret that is known; nothing is changed then.
    """
    # Locked: `keys retire` and a second `keys reseal` wait, and find the new state.
    keys = tx.scalars(
        select(SigningKey)
        .where(SigningKey.compromised_at.is_(None))
        .order_by(SigningKey.kid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    old = [key for key in keys if keyring.sealed_under(key.private_key_sealed) is not SealedUnder.CURRENT]
    for key in old:
        key.private_key_sealed = seal(unseal(key.private_key_sealed, key.kid, keyring), key.kid, keyring)
    if old:
        tx.flush()
        record(tx, "keys_resealed", now=now, details={"kids": [key.kid for key in old]})
    return [key.kid for key in old]
