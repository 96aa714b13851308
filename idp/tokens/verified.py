"""Access tokens whose signature this process has verified: that some bytes were signed by some key does not change.

Whoever asks about a token asks again with each request that it comes with, for minutes; verifying costs as much as all
else about the question. Kept is only what the bytes say and which key signed them, under the token's hash. Whether that
key is still trusted, the token not expired and the session alive is asked every time (I2).
"""

import hashlib
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from idp.tokens.jwts import AccessTokenClaims

_MOST = 4096  # some 1 kB each


class Verified(NamedTuple):
    """What a token says, who says that it issued it, and the name of the key that signed it."""

    claims: "AccessTokenClaims"
    issuer: str
    kid: str


class VerifiedTokens:
    """The last `most` of them, the eldest forgotten first. Safe for threads."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[bytes, Verified] = {}
        self._changing = threading.Lock()

    def find(self, text: str) -> Verified | None:
        """What was kept for exactly this text."""
        return self._kept.get(_name(text))

    def keep(self, text: str, verified: Verified) -> None:
        """Remember a token that was verified just now; one that was not must never come here."""
        with self._changing:
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[_name(text)] = verified


def _name(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
