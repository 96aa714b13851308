"""Identifiers of records: sortable, unguessable enough to collide never, and carrying the user's shard key.

An identifier is 16 bytes: the shard key (2), milliseconds since 1970 (6) and randomness (8). The shard key makes the
schema divisible by user later without a new token format; the time keeps B-trees compact. In text it is 26 characters
of base32hex (RFC 4648 §7) in lower case, whose order as text equals the order of the bytes.
Identifiers prove nothing: whatever must be secret is a secret of its own (`idp.kit.opaque`).
"""

import hashlib
import re
import secrets
from datetime import datetime

SHARDS = 4096
IDENTIFIER_LENGTH = 26
IDENTIFIER_BYTES = 16

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
# 26 digits hold two bits more than 16 bytes have: the last digit is a multiple of four, or it is another spelling.
_CANONICAL = re.compile(r"[0-9a-v]{25}[048cgkos]\Z")
_SPARE_BITS = 2
# Two digits at a time: identifiers are written and read several times in each request (base64.b32hexencode: 8 µs).
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_SHIFTS = tuple(range(120, -1, -10))


def shard_key_of(name: str) -> int:
    """The shard key (0 … 4095) of a user or client, from a name of its own that never changes."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") % SHARDS


def new_identifier(shard_key: int, now: datetime) -> str:
    """A fresh identifier for a record that belongs to the given shard."""
    return identifier_from_bytes(_head(shard_key, now) + secrets.token_bytes(8))


def new_identifiers(shard_key: int, now: datetime, count: int) -> list[str]:
    """As many fresh identifiers for records that belong to the given shard."""
    head, randomness = _head(shard_key, now), secrets.token_bytes(8 * count)
    return [identifier_from_bytes(head + randomness[start : start + 8]) for start in range(0, 8 * count, 8)]


def _head(shard_key: int, now: datetime) -> bytes:
    milliseconds = max(0, int(now.timestamp() * 1000))
    return shard_key.to_bytes(2, "big") + milliseconds.to_bytes(6, "big")


def shard_key_in(identifier: str) -> int:
    """The shard key that an identifier carries."""
    return int.from_bytes(identifier_to_bytes(identifier)[:2], "big")


def identifier_from_bytes(raw: bytes) -> str:
    """Text form of 16 raw bytes."""
    if len(raw) != IDENTIFIER_BYTES:
        raise ValueError("an identifier has 16 bytes")
    number = int.from_bytes(raw, "big") << _SPARE_BITS
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def identifier_to_bytes(identifier: str) -> bytes:
    """Raw bytes of a text form; `ValueError` for anything that is not exactly the canonical spelling."""
    if not _CANONICAL.match(identifier):
        raise ValueError("not an identifier")
    return (int(identifier, 32) >> _SPARE_BITS).to_bytes(IDENTIFIER_BYTES, "big")


def is_identifier(text: str) -> bool:
    """Whether `text` is a canonically spelled identifier; lets a desk refuse garbage without asking the database."""
    return _CANONICAL.match(text) is not None
