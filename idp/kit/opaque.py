"""Opaque secrets: made at random, kept only as hashes, compared in constant time.

A secret of 128 bits or more needs no slow hash: SHA-256 is enough (and a password hash would make each token check
cost milliseconds). Passwords are chosen by people and therefore live elsewhere (`idp.users.passwords`).
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
_HANDLE = re.compile(r"([0-9a-v]{26})\.([A-Za-z0-9_-]{22})\Z")


class Secret:
    """A secret text whose `repr` and `str` show nothing, so that no log line or traceback can leak it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; call it where the secret leaves for its rightful holder, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


def new_secret(bits: int = 128) -> Secret:
    """A random secret of at least `bits` bits, as base64url text without padding."""
    return Secret(base64url(secrets.token_bytes(bits // 8)))


def hash_secret(secret: str | bytes) -> bytes:
    """The 32-byte SHA-256 under which a high-entropy secret is stored."""
    return hashlib.sha256(secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogatepass")).digest()


def secret_matches(secret: str | bytes, stored_hash: bytes | None) -> bool:
    """Whether `secret` is the one stored as `stored_hash`, in constant time. A missing hash matches nothing."""
    return stored_hash is not None and hmac.compare_digest(hash_secret(secret), stored_hash)


def make_handle(identifier: str, secret: Secret) -> str:
    """What a bearer holds: `identifier.secret`. The identifier finds the row, the secret proves the right to it."""
    return f"{identifier}.{secret.reveal()}"


def split_handle(handle: str) -> tuple[str, Secret] | None:
    """Identifier and secret of a handle made by `make_handle` with a 128-bit secret; None for anything else."""
    match = _HANDLE.match(handle)
    return (match.group(1), Secret(match.group(2))) if match else None


def base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def base64url_decode(text: str) -> bytes:
    """Strict inverse of `base64url`; `ValueError` for junk, padding, or a non-canonical last character.

    Python's decoder drops characters that it does not know and accepts several spellings of the last one: two texts
    for one token would defeat every list of denied or used tokens. Hence the comparison with the canonical spelling.
    """
    if not text.isascii() or not _BASE64URL.match(text):
        raise ValueError("not base64url")
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
