"""Identifiers of records: sortable, unguessable enough to collide never, and carrying the user's shard key.

An identifier is 16 bytes: the shard key (2), milliseconds since 1970 (6) and randomness (8). The shard key makes the
schema divisible by user later without a new token format; the time keeps B-trees compact. In text it is 26 characters
of base32hex (RFC 4648 §7) in lower case, whose order as text equals the order of the bytes.
Identifiers prove nothing: whatever must be secret is a secret of its own (`idp.kit.opaque`).
"""

import hashlib
import secrets
from base64 import b32hexdecode, b32hexencode
from datetime import datetime

SHARDS = 4096
IDENTIFIER_LENGTH = 26
IDENTIFIER_BYTES = 16


def shard_key_of(name: str) -> int:
    """The shard key (0 … 4095) of a user or client, from a name of its own that never changes."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") % SHARDS


def new_identifier(shard_key: int, now: datetime) -> str:
    """A fresh identifier for a record that belongs to the given shard."""
    milliseconds = max(0, int(now.timestamp() * 1000))
    return identifier_from_bytes(
        shard_key.to_bytes(2, "big") + milliseconds.to_bytes(6, "big") + secrets.token_bytes(8)
    )


def shard_key_in(identifier: str) -> int:
    """The shard key that an identifier carries."""
    return int.from_bytes(identifier_to_bytes(identifier)[:2], "big")


def identifier_from_bytes(raw: bytes) -> str:
    """Text form of 16 raw bytes."""
    if len(raw) != IDENTIFIER_BYTES:
        raise ValueError("an identifier has 16 bytes")
    return b32hexencode(raw).decode().rstrip("=").lower()


def identifier_to_bytes(identifier: str) -> bytes:
    """Raw bytes of a text form; `ValueError` for anything that is not exactly the canonical spelling."""
    if len(identifier) != IDENTIFIER_LENGTH or not identifier.isascii():
        raise ValueError("not an identifier")
    raw = b32hexdecode(identifier.upper() + "======")
    if identifier_from_bytes(raw) != identifier:  # several spellings of the last character decode alike
        raise ValueError("not an identifier")
    return raw


def is_identifier(text: str) -> bool:
    """Whether `text` is a canonically spelled identifier; lets a desk refuse garbage without asking the database."""
    try:
        identifier_to_bytes(text)
    except ValueError:
        return False
    return True
