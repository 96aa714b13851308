"""The refresh token's own text: what it says, and how a genuine one is told from garbage without the database.

`idp_rt_` + base64url of: key version (4 bytes), family id (16), generation (4), the family's random secret (16) and an
HMAC-SHA-256 tag (32) over all of it: 72 bytes, 96 characters. The database keeps the hash of the secret, the server
secret makes the tag; a leak of either alone yields no token. Generation and secret in the token mean that a lost
answer can be repeated exactly, with nothing stored per rotation (docs/adr/0003).
"""

import hmac
import re
from dataclasses import dataclass, field

from idp.kit.identifiers import identifier_from_bytes, identifier_to_bytes
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret, base64url, base64url_decode, hash_secret

PREFIX = "idp_rt_"
PURPOSE = "refresh-token"
SECRET_BYTES = 16
_SHAPE = re.compile(r"idp_rt_[A-Za-z0-9_-]{96}\Z")


@dataclass(frozen=True)
class RefreshToken:
    """A genuine refresh token: made by this installation, for this family and generation."""

    family_id: str
    generation: int
    secret: bytes = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """What the family row keeps of the secret."""
        return hash_secret(self.secret)

    def of_generation(self, generation: int) -> "RefreshToken":
        """The token of another generation of the same family."""
        return RefreshToken(self.family_id, generation, self.secret)


def write_refresh_token(token: RefreshToken, keyring: Keyring) -> Secret:
    """The text that the client gets, tagged under the current server secret."""
    body = (
        keyring.current_version
        + identifier_to_bytes(token.family_id)
        + token.generation.to_bytes(4, "big")
        + token.secret
    )
    return Secret(PREFIX + base64url(body + keyring.tag(PURPOSE, body)))


def read_refresh_token(text: str, keyring: Keyring) -> RefreshToken | None:
    """The token behind a text; None for anything that this installation did not make (or no longer accepts)."""
    if not _SHAPE.match(text):
        return None
    try:
        raw = base64url_decode(text.removeprefix(PREFIX))
    except ValueError:
        return None
    body, tag = raw[:40], raw[40:]
    version = body[:4]
    if not keyring.knows(version) or not hmac.compare_digest(keyring.tag(PURPOSE, body, version), tag):
        return None
    return RefreshToken(
        family_id=identifier_from_bytes(body[4:20]), generation=int.from_bytes(body[20:24], "big"), secret=body[24:]
    )
