"""JWTs out and in: access tokens (RFC 9068), ID tokens (OIDC Core §2), and hints.

Every token has a type, and the reader of one refuses all others: an ID token is no access token, an access token no
hint. Algorithms come from our own key, never from the header; sizes are bounded before anything is parsed.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt

from idp.keys.store import KeyStore, Signer
from idp.kit.opaque import base64url, base64url_decode
from idp.tokens.issued import Issued
from idp.tokens.verified import Verified, VerifiedTokens

ACCESS_TOKEN_TYPE = "at+jwt"
ID_TOKEN_TYPE = "JWT"
MAXIMUM_LENGTH = 8192  # longer than any we make; a bound before parsing (lessons: "thousands of dots")
FAMILY_CLAIM = "family"
_HEADER = {"alg", "kid", "typ"}
# What ours are by their kind (RFC 7519 §4.1); more may be there.
_CLAIMS: dict[str, dict[str, type | tuple[type, ...]]] = {
    ACCESS_TOKEN_TYPE: {
        **dict.fromkeys(("iss", "sub", "client_id", "jti", "scope", FAMILY_CLAIM), str),
        "aud": (str, list),
        **dict.fromkeys(("exp", "iat"), int),
    },
    ID_TOKEN_TYPE: {**dict.fromkeys(("iss", "sub", "aud"), str), **dict.fromkeys(("exp", "iat"), int)},
}
_VERIFIED = VerifiedTokens()


@dataclass(frozen=True)
class AccessTokenClaims:
    """What one of our access tokens says, its signature, type, issuer and times verified."""

    jti: str
    family_id: str
    sub: str
    client_id: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class IdTokenHint:
    """What one of our ID tokens says, possibly long after it expired."""

    sub: str
    audience: str
    sid: str | None


def sign_access_token(issued: Issued, *, signer: Signer, issuer: str) -> str:
    """A JWT access token. `exp` is exactly what the family row recorded. RFC 9068 §2.2."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": issued.sub,
        "aud": issued.resources[0] if len(issued.resources) == 1 else issued.resources,
        "client_id": issued.client_id,
        "iat": int(issued.issued_at.timestamp()),
        "exp": int(issued.access_expires_at.timestamp()),
        "jti": issued.jti,
        "scope": " ".join(issued.scope),
        FAMILY_CLAIM: issued.family_id,
    }
    if issued.auth_time is not None:
        claims["auth_time"] = int(issued.auth_time.timestamp())  # RFC 9068 §2.2.1
    return _sign(claims, signer, ACCESS_TOKEN_TYPE)


def sign_id_token(
    issued: Issued, *, signer: Signer, issuer: str, now: datetime, lifetime: timedelta, access_token: str
) -> str:
    """An ID token (OIDC Core §2, §3.1.3.6). Small on purpose: what people are called belongs in userinfo."""
    assert issued.auth_time is not None, "an ID token is about a person who signed in"
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": issued.sub,
        "aud": issued.client_id,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
        "auth_time": int(issued.auth_time.timestamp()),
        "sid": issued.sid,  # Back-Channel Logout §2.1
        "at_hash": _half_hash(access_token),
        "amr": issued.amr,
    }
    if issued.acr is not None:
        claims["acr"] = issued.acr
    if issued.nonce is not None:
        claims["nonce"] = issued.nonce
    return _sign(claims, signer, ID_TOKEN_TYPE)


def read_access_token(text: str, *, keys: KeyStore, issuer: str, now: datetime) -> AccessTokenClaims | None:
    """The claims of an access token of ours that has not expired; None for anything else. Says nothing about ends."""
    if len(text) > MAXIMUM_LENGTH or not text.isascii():
        return None
    found = _VERIFIED.find(text)
    if found is None:
        found = _read_anew(text, keys=keys, issuer=issuer, now=now)
        if found is None:
            return None
        _VERIFIED.keep(text, found)
    elif found.issuer != issuer or keys.verification_key(found.kid, now) is None:
        return None
    return found.claims if found.claims.expires_at > now else None


def _read_anew(text: str, *, keys: KeyStore, issuer: str, now: datetime) -> Verified | None:
    signed = _verify(text, token_type=ACCESS_TOKEN_TYPE, keys=keys, issuer=issuer, now=now, for_hint=False)
    if signed is None:
        return None
    kid, claims = signed
    audience = claims["aud"]
    audiences = (audience,) if isinstance(audience, str) else tuple(audience)
    try:
        read = AccessTokenClaims(
            jti=claims["jti"],
            family_id=claims[FAMILY_CLAIM],
            sub=claims["sub"],
            client_id=claims["client_id"],
            audience=audiences,
            scope=tuple(claims["scope"].split()),
            issued_at=datetime.fromtimestamp(claims["iat"], UTC),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )
    except (OverflowError, ValueError):  # a moment in no year that there is
        return None
    return Verified(read, issuer, kid)


def read_id_token_hint(text: str, *, keys: KeyStore, issuer: str, now: datetime) -> IdTokenHint | None:
    """An ID token of ours, expired or not (RP-Initiated Logout §2); all else about it is verified."""
    signed = _verify(text, token_type=ID_TOKEN_TYPE, keys=keys, issuer=issuer, now=now, for_hint=True)
    if signed is None:
        return None
    _, claims = signed
    sid = claims.get("sid")
    return IdTokenHint(sub=claims["sub"], audience=claims["aud"], sid=sid if isinstance(sid, str) else None)


def _sign(claims: dict[str, Any], signer: Signer, token_type: str) -> str:
    """The compact serialization (RFC 7515 §7.1), written here: PyJWT's checks of what callers may pass cost 30 µs."""
    header = _header(signer.kid, signer.algorithm, token_type)
    signed = f"{header}.{base64url(_dump(claims))}"
    signature = jwt.get_algorithm_by_name(signer.algorithm).sign(signed.encode("ascii"), signer.key)
    return f"{signed}.{base64url(signature)}"


@lru_cache(maxsize=64)
def _header(kid: str, algorithm: str, token_type: str) -> str:
    return base64url(_dump({"alg": algorithm, "kid": kid, "typ": token_type}))


# Made once: `json.dumps` with separators makes a new one for each part.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def _dump(value: dict[str, Any]) -> bytes:
    return _encode(value).encode("ascii")


def _half_hash(access_token: str) -> str:
    # OIDC Core §3.1.3.6: the left half of the hash named by the algorithm; all of ours are SHA-256.
    return base64url(hashlib.sha256(access_token.encode("ascii")).digest()[:16])


def _verify(
    text: str, *, token_type: str, keys: KeyStore, issuer: str, now: datetime, for_hint: bool
) -> tuple[str, dict[str, Any]] | None:
    """The name of the key that signed it, and what it says. Times are the caller's to compare, against its own `now`.

    Written here as `_sign` is: PyJWT would decode and check all parts again, and ask the wall clock.
    """
    if len(text) > MAXIMUM_LENGTH or text.count(".") != 2 or not text.isascii():
        return None
    signed, _, signature = text.rpartition(".")
    first, _, second = signed.partition(".")
    try:
        header = json.loads(base64url_decode(first))
        # RFC 8725 §3.11: explicit typing. `crit`, `jku`, `jwk` and friends are not ours.
        if not isinstance(header, dict) or header.keys() != _HEADER or header["typ"] != token_type:
            return None
        kid = header["kid"]
        key = keys.verification_key(kid, now, for_hints=for_hint) if isinstance(kid, str) else None
        # RFC 8725 §3.1: the algorithm is the key's; what the header says must be the same and decides nothing.
        if key is None or header["alg"] != key.algorithm:
            return None
        algorithm = jwt.get_algorithm_by_name(key.algorithm)
        if not algorithm.verify(signed.encode("ascii"), key.key, base64url_decode(signature)):
            return None
        claims = json.loads(base64url_decode(second))
    except (ValueError, RecursionError):  # the last: thousands of brackets in brackets
        return None
    kinds = _CLAIMS[token_type].items()
    if not isinstance(claims, dict) or not all(isinstance(claims.get(name), kind) for name, kind in kinds):
        return None
    return (kid, claims) if claims["iss"] == issuer else None  # RFC 7519 §4.1.1
