"""Keys derived from the installation's secret: one per purpose, by HKDF-SHA-256 (RFC 5869).

`IDP_SECRET` is the current secret, `IDP_SECRET_PREVIOUS` are older ones that are still accepted, `IDP_SECRET_LEAKED`
older ones that only open what was sealed under them. Everything derived carries the version (a fingerprint) of the
secret it came from, so that a secret can be rolled over node by node.
Sealing is AES-256-GCM with the purpose and context bound in as associated data: a sealed value moved to another row or
column does not open. No key of one purpose is ever used for another.
"""

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from idp.kit.opaque import Secret

VERSION_BYTES = 4


class CannotUnseal(Exception):
    """A sealed value was made under a secret that this installation no longer knows, or was tampered with."""


def _derive(secret: bytes, purpose: str, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=b"idp/v1", info=purpose.encode()).derive(secret)


class SealedUnder(StrEnum):
    """Which secret of the installation a sealed value needs."""

    CURRENT = "current secret"
    PREVIOUS = "previous secret"
    LEAKED = "leaked secret"
    UNKNOWN = "unknown secret"


@dataclass(frozen=True)
class _Version:
    version: bytes
    secret: bytes


def _to_version(secret: Secret) -> _Version:
    raw = secret.reveal().encode()
    return _Version(_derive(raw, "version", VERSION_BYTES), raw)


class Keyring:
    """The keys of an installation, by purpose and version."""

    def __init__(self, current: Secret, previous: Sequence[Secret] = (), leaked: Sequence[Secret] = ()) -> None:
        versions = [_to_version(secret) for secret in (current, *previous)]
        self._current = versions[0]
        self._accepted = {entry.version: entry for entry in versions}
        # Apart: whatever is looked up for a token, cookie or tag must not find them, whoever asks and however.
        self._opening = {entry.version: entry for entry in (*map(_to_version, leaked), *versions)}
        self._key = lru_cache(maxsize=64)(self._derive_key)
        self._keyed_hash = lru_cache(maxsize=64)(self._begin_hash)

    @property
    def current_version(self) -> bytes:
        """The 4-byte fingerprint of the current secret."""
        return self._current.version

    def knows(self, version: bytes) -> bool:
        """Whether values made under this version are still accepted; those of a leaked secret never are."""
        return version in self._accepted

    def sealed_under(self, sealed: bytes) -> SealedUnder:
        """Which of the secrets a sealed value needs. Reads its version only; it may still fail to open."""
        version = sealed[:VERSION_BYTES]
        if version == self.current_version:
            return SealedUnder.CURRENT
        if version in self._accepted:
            return SealedUnder.PREVIOUS
        return SealedUnder.LEAKED if version in self._opening else SealedUnder.UNKNOWN

    def _derive_key(self, purpose: str, version: bytes) -> bytes:
        return _derive(self._accepted[version].secret, purpose, 32)

    def key(self, purpose: str, version: bytes | None = None) -> bytes:
        """The 32-byte key of a purpose under a version (default: the current one). `KeyError` if unknown or leaked."""
        return self._key(purpose, version or self.current_version)

    def tag(self, purpose: str, message: bytes, version: bytes | None = None) -> bytes:
        """HMAC-SHA-256 of a message under the purpose's key: 32 bytes."""
        # A copy of one that has its key already: each token is read and written through here.
        keyed = self._keyed_hash(purpose, version or self.current_version).copy()
        keyed.update(message)
        return keyed.digest()

    def _begin_hash(self, purpose: str, version: bytes) -> hmac.HMAC:
        return hmac.new(self.key(purpose, version), digestmod="sha256")

    def seal(self, purpose: str, context: str, plain: bytes) -> bytes:
        """Encrypt: version (4) + nonce (12) + AES-256-GCM ciphertext. `context` names the row it belongs to."""
        nonce = os.urandom(12)
        sealed = AESGCM(self.key(purpose)).encrypt(nonce, plain, f"{purpose}/{context}".encode())
        return self.current_version + nonce + sealed

    def unseal(self, purpose: str, context: str, sealed: bytes) -> bytes:
        """Inverse of `seal`. Raises `CannotUnseal` for an unknown version, a wrong context or a changed value."""
        version, nonce, ciphertext = sealed[:4], sealed[4:16], sealed[16:]
        if version not in self._opening:
            raise CannotUnseal(
                "sealed under a secret that is neither IDP_SECRET nor in IDP_SECRET_PREVIOUS or IDP_SECRET_LEAKED"
            )
        key = _derive(self._opening[version].secret, purpose, 32)
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, f"{purpose}/{context}".encode())
        except InvalidTag as error:
            raise CannotUnseal("the sealed value was changed or moved") from error
