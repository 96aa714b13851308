"""The keys of this process: read from the database, unsealed once, kept for some seconds, ready to sign and verify.

Loaded lazily, so that a forked worker reads its own. One thread reloads while others go on with what they have. An
unknown `kid` causes one early reload per second at most: a rotation on another node is seen at once, and a flood of
invented names costs nothing. Ask before a transaction is opened: a reload takes a second connection.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy.exc import SQLAlchemyError

from idp.db.engine import Database, DatabaseBusy
from idp.db.models import SigningKey
from idp.keys.lifecycle import list_keys
from idp.keys.material import PrivateKey, unseal
from idp.kit.keyring import CannotUnseal, Keyring

PublicKey = EllipticCurvePublicKey | RSAPublicKey


class KeyUnavailable(Exception):
    """No key for this algorithm can sign now, or the keys can't be read. The answer is 503, never a token."""


@dataclass(frozen=True)
class Signer:
    """A key to sign with. `key` is loaded: PyJWT takes it as it is."""

    kid: str
    algorithm: str
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True)
class VerificationKey:
    """A public key, and the one algorithm it may verify (RFC 8725 §3.1)."""

    kid: str
    algorithm: str
    key: PublicKey


@dataclass(frozen=True)
class _Key:
    public_jwk: dict[str, Any]
    activates_at: datetime
    retired_at: datetime | None
    unpublished_at: datetime | None
    signer: Signer
    verification: VerificationKey

    def is_published(self, now: datetime) -> bool:
        return self.unpublished_at is None or now < self.unpublished_at

    def may_sign(self, now: datetime) -> bool:
        is_retired = self.retired_at is not None and self.retired_at <= now
        return self.activates_at <= now and not is_retired


@dataclass(frozen=True)
class _Snapshot:
    loaded_at: float
    keys: tuple[_Key, ...]  # newest first; compromised ones are left out altogether
    by_kid: dict[str, _Key]


class KeyStore:
    """Signers, verification keys and the JWKS; safe for threads."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        cache_seconds: float = 10,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._reloading = threading.Lock()
        self._snapshot: _Snapshot | None = None

    def signer(self, algorithm: str, now: datetime) -> Signer:
        """The newest active key of `algorithm`. Raises `KeyUnavailable`."""
        for is_retry in (False, True):
            for key in self._current(early=is_retry).keys:
                if key.signer.algorithm == algorithm and key.may_sign(now):
                    return key.signer
        raise KeyUnavailable(f"no active key for {algorithm}; `idp init` makes one")

    def verification_key(self, kid: str, now: datetime, *, for_hints: bool = False) -> VerificationKey | None:
        """The key of that name while it is published; for ID-token hints also afterwards. Compromised keys: None."""
        key = self._current().by_kid.get(kid) or self._current(early=True).by_kid.get(kid)
        if key is None or not (for_hints or key.is_published(now)):
            return None
        return key.verification

    def jwks(self, now: datetime) -> dict[str, Any]:
        """The public JWK Set (RFC 7517 §5): published keys, those of the future included."""
        return {"keys": [key.public_jwk for key in self._current().keys if key.is_published(now)]}

    def published(self, now: datetime) -> tuple[str, ...]:
        """The names of the keys in `jwks`, in order: while they are the same, it is. Raises `KeyUnavailable`."""
        return tuple(key.signer.kid for key in self._current().keys if key.is_published(now))

    def forget(self) -> None:
        """Read the keys anew at the next use."""
        self._snapshot = None

    def _current(self, *, early: bool = False) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is None:
            with self._reloading:
                return self._snapshot or self._reload()
        age = self._monotonic() - snapshot.loaded_at
        if age < (min(1.0, self._cache_seconds) if early else self._cache_seconds):
            return snapshot
        # Whoever finds another thread at it goes on with the keys of some seconds ago.
        if not self._reloading.acquire(blocking=early):
            return snapshot
        try:
            return self._reload() if self._snapshot is snapshot else self._snapshot or self._reload()
        finally:
            self._reloading.release()

    def _reload(self) -> _Snapshot:
        try:
            with self._database.reading() as tx:
                rows = list_keys(tx)
            keys = tuple(self._open(row) for row in rows if row.compromised_at is None)
        except (SQLAlchemyError, DatabaseBusy, CannotUnseal) as error:
            raise KeyUnavailable("the signing keys can't be read") from error
        snapshot = _Snapshot(self._monotonic(), keys, {key.signer.kid: key for key in keys})
        self._snapshot = snapshot
        return snapshot

    def _open(self, row: SigningKey) -> _Key:
        known = self._snapshot.by_kid.get(row.kid) if self._snapshot else None
        private = known.signer.key if known else unseal(row.private_key_sealed, row.kid, self._keyring)
        return _Key(
            public_jwk=row.public_jwk,
            activates_at=row.activates_at,
            retired_at=row.retired_at,
            unpublished_at=row.unpublished_at,
            signer=Signer(row.kid, row.algorithm, private),
            verification=VerificationKey(row.kid, row.algorithm, private.public_key()),
        )
