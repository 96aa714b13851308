"""Checks a logout token rule by rule, with a sentence for each: for developers whose application refuses one.

Serves Back-Channel Logout 1.0 §2.4 and §2.6, in their order. Everything is checked, also after a failure, as far as the
token can be read; nothing is remembered, so that whether a `jti` came before is left to the application.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from idp.keys import KeyStore
from idp.kit.opaque import base64url_decode
from idp.logout.logout_token import LOGOUT_EVENT

MAXIMUM_LENGTH = 16_384
# What clocks of two machines may differ by, and how old a token may be: applications should allow about as much.
LEEWAY = timedelta(seconds=60)
OLDEST = timedelta(minutes=10)
_ALGORITHMS = ("ES256", "RS256")


@dataclass(frozen=True)
class Finding:
    """One rule, whether the token keeps it, and what was seen."""

    rule: str
    is_kept: bool
    says: str


def inspect_logout_token(
    token: str, *, keys: KeyStore, issuer: str, client_id: str | None, now: datetime
) -> list[Finding]:
    """Every rule with its verdict. `client_id`: whose token it should be, None when any audience will do."""
    parts = read_token(token)
    if isinstance(parts, str):
        return [Finding("§2.4 a signed JWT", False, parts)]
    header, claims = parts
    findings = [Finding("§2.4 a signed JWT", True, "It has a header, claims and a signature.")]
    findings += _check_signature(token, header, keys, now)
    findings += _check_claims(claims, issuer=issuer, client_id=client_id, now=now)
    return findings


def read_token(token: str) -> tuple[dict[str, Any], dict[str, Any]] | str:
    """Header and claims, unverified; a sentence when they can't be read."""
    if len(token) > MAXIMUM_LENGTH:
        return f"It is longer than {MAXIMUM_LENGTH:,} characters."
    pieces = token.split(".")
    if len(pieces) == 5:
        return "It is encrypted (five parts). This provider signs and does not encrypt."
    if len(pieces) != 3:
        return f"It has {len(pieces)} parts between dots, where a signed JWT has three."
    try:
        header, claims = (json.loads(base64url_decode(piece)) for piece in pieces[:2])
    except (ValueError, RecursionError):
        return "Header or claims are not base64url-encoded JSON. Was it cut or changed on its way?"
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return "Header or claims are no JSON objects."
    return header, claims


def _check_signature(token: str, header: dict[str, Any], keys: KeyStore, now: datetime) -> Iterator[Finding]:
    kind = header.get("typ")
    is_typed = isinstance(kind, str) and kind.lower().removeprefix("application/") == "logout+jwt"
    yield Finding("§2.4 typ is logout+jwt", is_typed, f"typ is {_shown(kind)}.{_kind_of(kind)}")
    algorithm, kid = header.get("alg"), header.get("kid")
    is_allowed = algorithm in _ALGORITHMS
    yield Finding(
        "§2.6 the algorithm is the one expected, never none",
        is_allowed,
        f"alg is {_shown(algorithm)}, never take it from here.",
    )
    key = keys.verification_key(kid, now) if isinstance(kid, str) else None
    if key is None:
        yield Finding("§2.6 the signature is the issuer's", False, f"No published key of ours is called {_shown(kid)}.")
        return
    if algorithm != key.algorithm:
        yield Finding("§2.6 the signature is the issuer's", False, f"That key signs with {key.algorithm} only.")
        return
    try:
        jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except jwt.PyJWTError:
        says = "The signature does not fit: the token was changed, or another key made it."
        yield Finding("§2.6 the signature is the issuer's", False, says)
        return
    yield Finding("§2.6 the signature is the issuer's", True, f"Our key {key.kid} made it.")


def _check_claims(claims: dict[str, Any], *, issuer: str, client_id: str | None, now: datetime) -> Iterator[Finding]:
    says = f"iss is {_shown(claims.get('iss'))}; ours is {issuer!r}, compared character by character."
    yield Finding("§2.6 iss is the issuer", claims.get("iss") == issuer, says)
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    is_for = bool(named) and all(isinstance(one, str) for one in named) and client_id in (*named, None)
    says = f"aud is {_shown(audience)}" + (f"; the client is {client_id!r}." if client_id else ".")
    yield Finding("§2.6 aud names the client", is_for, says)
    issued, expires = _moment(claims.get("iat")), _moment(claims.get("exp"))
    is_young = issued is not None and now - OLDEST <= issued <= now + LEEWAY
    yield Finding("§2.6 iat is a moment just past", is_young, _when("iat", claims.get("iat"), issued, now))
    is_good = expires is not None and expires > now - LEEWAY  # not `expires + LEEWAY`: there is no year 10000
    yield Finding("§2.6 exp has not passed", is_good, _when("exp", claims.get("exp"), expires, now))
    sub, sid = claims.get("sub"), claims.get("sid")
    has_subject = any(isinstance(one, str) and one for one in (sub, sid))
    yield Finding("§2.6 sub, sid or both", has_subject, f"sub is {_shown(sub)}, sid is {_shown(sid)}. Match sid first.")
    events = claims.get("events")
    event = events.get(LOGOUT_EVENT) if isinstance(events, dict) else None
    says = (
        f"events names {LOGOUT_EVENT}."
        if isinstance(event, dict)
        else f"It must be an object with {LOGOUT_EVENT}: {{}}."
    )
    yield Finding("§2.6 events has the logout event", isinstance(event, dict), says)
    has_nonce = "nonce" in claims
    says = "There is a nonce: this is an ID token in disguise." if has_nonce else "There is none."
    yield Finding("§2.6 no nonce", not has_nonce, says)
    jti = claims.get("jti")
    says = f"jti is {_shown(jti)}. Remember it until exp, and do nothing for one that you know."
    yield Finding("§2.4 a jti", isinstance(jti, str) and bool(jti), says)


def _kind_of(kind: object) -> str:
    """What people paste by mistake."""
    match kind.lower() if isinstance(kind, str) else None:
        case "at+jwt" | "application/at+jwt":
            return " This is an access token."
        case "jwt" | None:
            return " ID tokens look like this. A provider may leave typ out; ours never does."
        case _:
            return ""


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _when(name: str, value: object, moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return f"{name} is {_shown(value)}, which is no moment in seconds."
    seconds = round((moment - now).total_seconds())
    return f"{name} is {moment:%Y-%m-%d %H:%M:%S} UTC, {abs(seconds)} s {'from now' if seconds > 0 else 'ago'}."


def _shown(value: object) -> str:
    return "missing" if value is None else ascii(value)[:120]
