"""Verifies logout tokens: all of OpenID Connect Back-Channel Logout 1.0 §2.6, without knowing HTTP or the sessions.

The caller brings the provider's keys; whether this token was seen before, and which sessions it ends, is `store`'s.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
CLOCK_SKEW_SECONDS = 60
MAX_TOKEN_LENGTH = 16384


class LogoutTokenError(ValueError):
    """The token must not be acted upon; the message is for the provider's operator and holds nothing secret."""


@dataclass(frozen=True)
class LogoutNotice:
    """A verified logout token. At least one of `sid` and `sub` is set.

    `ended_at` (seconds) is when the session ended at the provider: sessions that began later are not meant.
    """

    jti: str
    sid: str | None
    sub: str | None
    ended_at: float
    expires_at: float


def verify_logout_token(
    text: str, *, keys: KeySet, algorithms: Collection[str], issuer: str, client_id: str, now: float
) -> LogoutNotice:
    """The notice in `text`. `now` in seconds since 1970. Raises LogoutTokenError.

    An unknown key shows as joserfc's InvalidKeyIdError, so that the caller can fetch the keys anew and try again.
    """
    try:
        # The algorithms are those of this registry, never whatever the token's header proposes (RFC 8725 §3.1).
        token = jwt.decode(text, keys, registry=JWSRegistry(algorithms=list(algorithms), strict_check_header=False))
    except JoseError as error:
        if error.error == "invalid_key_id":
            raise
        raise LogoutTokenError("the signature or form of the token is not acceptable") from error
    except (ValueError, TypeError) as error:
        raise LogoutTokenError("the token can't be read") from error
    # Explicit typing, so that no other token of the provider can pass as a logout token (Back-Channel Logout §2.4).
    if str(token.header.get("typ", "")).lower().removeprefix("application/") != "logout+jwt":
        raise LogoutTokenError("typ must be logout+jwt")
    return _read_claims(token.claims, issuer=issuer, client_id=client_id, now=now)


def _read_claims(claims: dict[str, Any], *, issuer: str, client_id: str, now: float) -> LogoutNotice:
    if claims.get("iss") != issuer:
        raise LogoutTokenError("iss is not our provider")
    audience = claims.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise LogoutTokenError("aud does not name this client")
    issued_at, expires_at = _moment(claims, "iat"), _moment(claims, "exp")
    if issued_at > now + CLOCK_SKEW_SECONDS:
        raise LogoutTokenError("iat lies in the future")
    if expires_at < now - CLOCK_SKEW_SECONDS:
        raise LogoutTokenError("the token has expired")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise LogoutTokenError("events does not name the back-channel logout event")
    if "nonce" in claims:  # §2.4 prohibits it: a token with a nonce may be an ID token in disguise
        raise LogoutTokenError("a logout token must not have a nonce")
    jti, sid, sub = _text(claims, "jti"), _text(claims, "sid"), _text(claims, "sub")
    if jti is None:
        raise LogoutTokenError("jti is missing")
    if sid is None and sub is None:
        raise LogoutTokenError("neither sid nor sub is there")
    ended_at = _moment(claims, "toe") if "toe" in claims else issued_at
    return LogoutNotice(jti=jti, sid=sid, sub=sub, ended_at=ended_at, expires_at=expires_at)


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
        raise LogoutTokenError(f"{name} is missing or not a time")
    return float(value)


def _text(claims: dict[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > 255 or not value.isascii():
        raise LogoutTokenError(f"{name} is not a text of up to 255 ASCII characters")
    return value
