"""Logout tokens: what a client is told about an end, signed like its ID tokens.

Serves OIDC Back-Channel Logout §2.4 and §2.6, and RFC 8417 (`jti`, `toe`). Pure; made anew for each attempt, because a
token that waited in a queue would be too old, and one sent twice with the same `jti` would count as a replay.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

import jwt

from idp.keys import Signer
from idp.kit.opaque import base64url
from idp.outbox import Claimed
from idp.outbox.logout_reason import CLAIM

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
# Back-Channel Logout §2.4: "preferably at most two minutes in the future".
LIFETIME = timedelta(minutes=2)


def make_logout_token(claimed: Claimed, *, signer: Signer, issuer: str, now: datetime) -> str:
    """The signed token for one attempt to deliver `claimed`. `signer` is for `claimed.algorithm`."""
    return sign_logout_token(logout_claims(claimed, issuer=issuer, now=now), signer)


def logout_claims(claimed: Claimed, *, issuer: str, now: datetime) -> dict[str, Any]:
    """What the token says, with a fresh `jti`."""
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": claimed.audience,
        "iat": issued_at,
        "exp": issued_at + int(LIFETIME.total_seconds()),
        "jti": base64url(secrets.token_bytes(16)),
        "events": {LOGOUT_EVENT: {}},
        "sub": claimed.sub,
        "sid": claimed.sid,
        # When it ended, however late the notice comes (RFC 8417 §2.2): younger sessions are not meant.
        "toe": int(claimed.ended_at.timestamp()),
        # Never `nonce`: it is what tells this from an ID token (Back-Channel Logout §2.4).
    }
    if claimed.logout_reason:
        claims[CLAIM] = claimed.logout_reason
    return claims


def sign_logout_token(claims: dict[str, Any], signer: Signer) -> str:
    """Sign claims as a logout token."""
    return jwt.encode(
        claims,
        signer.key,
        algorithm=signer.algorithm,
        # Explicit typing, so that no other token passes for this one nor this for another (§2.4, RFC 8725 §3.11).
        headers={"typ": "logout+jwt", "kid": signer.kid},
    )
