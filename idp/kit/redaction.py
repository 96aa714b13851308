"""Takes out of log lines what opens something: tokens, codes, cookies, links, passwords, secrets.

The house logs facts and never such values; this is the net below it, for what comes by way of an exception, another
library's message or a mistake. It masks by the names of fields, by the shapes of our own credentials, and by the very
texts of the secrets in the settings. It refuses to guess beyond that: a mask over ordinary facts hides the cause of an
outage. Serves OWASP ASVS 5.0 §16.2.5.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
MINIMUM_KNOWN_SECRET = 8  # a shorter one would be found in innocent words
_DEPTH = 6

# A field whose name ends in one of these words (a plural counts too) holds the thing itself.
_SECRET_WORDS = frozenset(
    {"assertion", "authorization", "code", "cookie", "csrf", "handle", "hint", "jwt", "link", "nonce", "otp"}
    | {"passphrase", "passwd", "password", "receipt", "secret", "seed", "token", "verifier"}
)
_FACTS = frozenset({"error_code", "exit_code", "status_code"})

_PARAMETERS = (
    "access_token|assertion|client_assertion|client_secret|code|code_verifier|csrf_token|id_token|id_token_hint"
    "|logout_token|nonce|password|refresh_token|subject_token|token"
)
_HEADER = re.compile(r"\b(Basic|Bearer|DPoP)[ ]+[A-Za-z0-9+/=._~-]{16,}", re.IGNORECASE)
# What makes a line worth a closer look, what is masked, and what stays. Most lines hold none of the first: it saves
# nearly all of the cost.
_SHAPES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    # Refresh tokens (idp_rt_), client secrets (idp_cs_) and whatever else gets our prefix.
    ("idp_", re.compile(r"(idp_[a-z]{2}_)[A-Za-z0-9_-]{8,}"), rf"\1{MASK}"),
    # JWTs, and the signed cookies of Flask: a base64url JSON object before a dot. The second: a compressed cookie.
    ("eyJ", re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)+"), f"eyJ{MASK}"),
    (".eJ", re.compile(r"\.eJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)+"), f".eJ{MASK}"),
    # Handles (cookies, codes, receipts, stored requests): the identifier may stay, it proves nothing.
    (".", re.compile(r"\.(?<=[0-9a-v]{26}\.)[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])"), f".{MASK}"),
    # Parameters of a query or form, however they got into a message.
    ("=", re.compile(rf"\b({_PARAMETERS})=(?![&\s\"'\\])[^&\s\"'\\<>]+", re.IGNORECASE), rf"\1={MASK}"),
    ("state=", re.compile(r"([?&]state=)[^&\s\"'\\<>]+"), rf"\1{MASK}"),
    # Header values.
    ("asic ", _HEADER, rf"\1 {MASK}"),
    ("earer ", _HEADER, rf"\1 {MASK}"),
    ("PoP ", _HEADER, rf"\1 {MASK}"),
    # Passwords in addresses, and stored password hashes.
    ("://", re.compile(r"(://[^\s:/@\"']*):[^\s/@\"']+@"), rf"\1:{MASK}@"),
    ("$argon2", re.compile(r"\$(argon2[a-z]*)\$[^\s\"'\\]+"), rf"$\1${MASK}"),
)
# PostgreSQL quotes the values of the row that it refuses: "DETAIL:  Key (email_key)=(…) already exists."
_DRIVER_DETAIL = re.compile(r"^([ \t]*DETAIL:).*$", re.MULTILINE)


def redact_text(text: str, known: Iterable[str] = ()) -> str:
    """The text without our credentials, and without the `known` secrets, which are taken out as they are spelled."""
    for secret in known:
        if secret in text:
            text = text.replace(secret, MASK)
    for sign, shape, mask in _SHAPES:
        if sign in text:
            text = shape.sub(mask, text)
    return text


def redact_traceback(text: str) -> str:
    """A traceback or driver message without the values that a database driver quotes in it."""
    return _DRIVER_DETAIL.sub(rf"\1 {MASK}", text) if "DETAIL:" in text else text


def redact_fields(fields: Mapping[str, Any], depth: int = _DEPTH) -> dict[str, Any]:
    """The fields with a mask where the name says that the value is a credential. Numbers and None are facts."""
    return {name: _redacted(name, value, depth) for name, value in fields.items()}


@lru_cache(maxsize=512)
def names_secret(name: str) -> bool:
    """Whether a field of this name holds a credential itself: `refresh_token`, `cookies`, not `token_type`."""
    lowered = name.lower().replace("-", "_")
    return lowered not in _FACTS and lowered.rpartition("_")[2].removesuffix("s") in _SECRET_WORDS


def _redacted(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if names_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return redact_fields({str(inner): value[inner] for inner in value}, depth - 1) if depth else MASK
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item, depth - 1) for item in value] if depth else MASK
    return value
