"""Making, rotating, retiring and forgetting signing keys: one row each, one transaction of the caller's.

The times of a key: in the JWKS from `created_at`, signing from `activates_at` to `retired_at`, out of the JWKS at
`unpublished_at`, deleted when no ID token that it signed can be a hint any more. A key that takes over at once is what
an operator asks for after a leak; else it is published ahead, so that RPs with a cached JWKS know it when it signs.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import SigningKey
from idp.keys.material import ALGORITHMS, generate, public_jwk, seal
from idp.kit.keyring import Keyring
from idp.kit.wording import is_storable
from idp.settings import Settings

# No token of ours lives longer (settings and clients are held to it); ID tokens may, and are added below.
_LONGEST_ACCESS_TOKEN = timedelta(hours=1)


@dataclass(frozen=True)
class KeyProblem:
    """Why a key can't be retired, and what to do instead."""

    problem: str


def create_key(tx: Tx, *, algorithm: str, keyring: Keyring, now: datetime, activates_at: datetime) -> SigningKey:
    """Make and store a key that is published now and signs from `activates_at`. `ValueError`: unknown algorithm."""
    private = generate(algorithm)
    jwk = public_jwk(private, algorithm)
    key = SigningKey(
        kid=jwk["kid"],
        algorithm=algorithm,
        public_jwk=jwk,
        private_key_sealed=seal(private, jwk["kid"], keyring),
        created_at=now,
        activates_at=activates_at,
    )
    tx.add(key)
    tx.flush()
    record(tx, "key_created", now=now, details={"kid": key.kid, "algorithm": algorithm})
    return key


def ensure_keys(tx: Tx, *, keyring: Keyring, now: datetime) -> list[SigningKey]:
    """Make the keys that a fresh installation needs, active at once. Returns those that were missing."""
    return [
        create_key(tx, algorithm=algorithm, keyring=keyring, now=now, activates_at=now)
        for algorithm in ALGORITHMS
        if not _signing(tx, algorithm, now)
    ]


def rotate(
    tx: Tx, *, algorithm: str, keyring: Keyring, now: datetime, settings: Settings, immediately: bool
) -> SigningKey:
    """Make the successor of the keys of `algorithm`: it signs after the time for publishing ahead, or at once.

    Its predecessors stop signing at that moment and stay published until nothing they signed is alive.
    """
    activates_at = now if immediately else now + settings.signing_key_prepublish_lifetime
    for predecessor in _unretired(tx, algorithm, activates_at):
        predecessor.retired_at = activates_at
        predecessor.unpublished_at = activates_at + _publication_after_retirement(settings)
    successor = create_key(tx, algorithm=algorithm, keyring=keyring, now=now, activates_at=activates_at)
    record(tx, "key_rotated", now=now, details={"kid": successor.kid, "algorithm": algorithm})
    return successor


def retire(tx: Tx, *, kid: str, compromised: bool, now: datetime, settings: Settings) -> SigningKey | KeyProblem:
    """Stop signing with a key now. A compromised one is unpublished at once and verifies nothing from now on."""
    named = select(SigningKey).where(SigningKey.kid == kid).with_for_update(key_share=True)
    key = tx.scalar(named) if is_storable(kid) else None
    if key is None:
        return KeyProblem(f"There is no key {kid[:64]!a}. `idp keys list` shows them.")
    others = [other for other in _unretired(tx, key.algorithm, now) if other.kid != kid]
    signs_now = any(other.activates_at <= now for other in others)
    # A planned successor retired before it took over would leave nobody once its predecessor stops.
    goes_on = any(other.retired_at is None for other in others)
    if not (signs_now and goes_on):
        return KeyProblem(
            f"{kid} is the only key that signs {key.algorithm} now or later. Make its successor first: "
            f"`idp keys rotate --algorithm {key.algorithm} --immediately`."
        )
    if key.retired_at is None or key.retired_at > now:
        key.retired_at = now
    if compromised:
        key.unpublished_at = key.compromised_at = now
    elif key.unpublished_at is None or key.unpublished_at > now:
        key.unpublished_at = key.retired_at + _publication_after_retirement(settings)
    tx.flush()
    kind = "key_compromised" if compromised else "key_retired"
    record(tx, kind, now=now, details={"kid": kid, "algorithm": key.algorithm})
    return key


def list_keys(tx: Tx) -> list[SigningKey]:
    """All keys, the newest first."""
    return list(tx.scalars(select(SigningKey).order_by(SigningKey.activates_at.desc(), SigningKey.kid)))


def count_purgeable_keys(tx: Tx, *, now: datetime, settings: Settings) -> int:
    """How many keys `purge_keys` would delete."""
    return tx.scalars(select(func.count()).select_from(SigningKey).where(*_is_done(now, settings))).one()


def purge_keys(tx: Tx, *, now: datetime, settings: Settings) -> int:
    """Delete the keys whose last ID tokens can't be hints any more. Returns how many."""
    gone = tx.scalars(
        delete(SigningKey)
        .where(*_is_done(now, settings))
        .returning(SigningKey.kid)
        .execution_options(synchronize_session=False)
    ).all()
    if gone:
        record(tx, "keys_purged", now=now, details={"kids": sorted(gone)})
    return len(gone)


def _is_done(now: datetime, settings: Settings) -> tuple[ColumnElement[bool], ...]:
    longest_session = max(settings.browser_absolute_lifetime, settings.app_absolute_lifetime)
    return SigningKey.retired_at < now - longest_session, SigningKey.unpublished_at < now


def _publication_after_retirement(settings: Settings) -> timedelta:
    longest_token = max(_LONGEST_ACCESS_TOKEN, settings.access_token_lifetime, settings.id_token_lifetime)
    return longest_token + settings.jwks_cache_lifetime


def _unretired(tx: Tx, algorithm: str, moment: datetime) -> list[SigningKey]:
    keys = tx.scalars(
        select(SigningKey)
        .where(SigningKey.algorithm == algorithm, SigningKey.compromised_at.is_(None))
        .order_by(SigningKey.kid)
        .with_for_update(key_share=True)
    )
    return [key for key in keys if key.retired_at is None or key.retired_at > moment]


def _signing(tx: Tx, algorithm: str, now: datetime) -> list[SigningKey]:
    return [key for key in _unretired(tx, algorithm, now) if key.activates_at <= now]
