"""What the self-test posts to an application: one genuine notice, and wrong ones that it has to refuse.

Every wrong one breaks one rule of Back-Channel Logout §2.6 and keeps all others. None can end anything or sign anybody
in: `sub` and `sid` are of nobody (`idp.logout.sample_notice`), `typ` is always `logout+jwt`, and `aud` is whoever gets
it, or nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from idp.keys import Signer
from idp.kit.opaque import base64url, base64url_decode
from idp.logout.logout_token import logout_claims, sign_logout_token
from idp.outbox import Claimed

GENUINE = "genuine"
_HOUR = 3600


@dataclass(frozen=True)
class Case:
    """One request of the test. `section`: of Back-Channel Logout 1.0; `harm`: what accepting a wrong one leads to."""

    name: str
    title: str
    section: str
    harm: str
    make: Callable[[dict[str, Any], Signer], str | None]

    @property
    def is_genuine(self) -> bool:
        """Whether it must be accepted."""
        return self.name == GENUINE


def case_form(case: Case, notice: Claimed, *, signer: Signer, issuer: str, now: datetime) -> dict[str, str]:
    """The form to post for one case, with a fresh token."""
    token = case.make(logout_claims(notice, issuer=issuer, now=now), signer)
    return {} if token is None else {"logout_token": token}


def _with(**changes: Any) -> Callable[[dict[str, Any], Signer], str]:
    return lambda claims, signer: sign_logout_token({**claims, **changes}, signer)


def _without(*names: str) -> Callable[[dict[str, Any], Signer], str]:
    def make(claims: dict[str, Any], signer: Signer) -> str:
        return sign_logout_token({name: value for name, value in claims.items() if name not in names}, signer)

    return make


def _late(claims: dict[str, Any], signer: Signer) -> str:
    moments = {name: claims[name] - _HOUR for name in ("iat", "exp", "toe")}
    return sign_logout_token({**claims, **moments}, signer)


def _forged(claims: dict[str, Any], signer: Signer) -> str:
    head, _, signature = sign_logout_token(claims, signer).rpartition(".")
    raw = base64url_decode(signature)
    return f"{head}.{base64url(bytes([raw[0] ^ 1]) + raw[1:])}"


def _unsigned(claims: dict[str, Any], _signer: Signer) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"typ": "logout+jwt"})


def _nothing(_claims: dict[str, Any], _signer: Signer) -> None:
    return None


CASES: tuple[Case, ...] = (
    Case(GENUINE, "A genuine notice, about a session that never was", "§2.5", "", _with()),
    Case(
        "forged",
        "A signature that is not ours",
        "§2.6 step 2",
        "Anybody could sign your people out.",
        _forged,
    ),
    Case(
        "unsigned",
        "No signature: alg is none",
        "§2.6 step 3",
        "Anybody could sign your people out.",
        _unsigned,
    ),
    Case(
        "issuer",
        "Another issuer",
        "§2.6 step 4",
        "The notice of one provider would end sessions of another.",
        _with(iss="https://another-provider.example"),
    ),
    Case(
        "audience",
        "Another application’s token",
        "§2.6 step 4",
        "Whoever gets a notice could pass it on to you.",
        _with(aud="another-application"),
    ),
    Case(
        "expired",
        "A token that expired an hour ago",
        "§2.6 step 4",
        "An old notice that somebody kept would work for ever.",
        _late,
    ),
    Case(
        "nobody",
        "Neither sub nor sid",
        "§2.6 step 5",
        "It is about nobody: whatever your code does then, it should not.",
        _without("sub", "sid"),
    ),
    Case(
        "event",
        "Another event than logout",
        "§2.6 step 6",
        "Tokens about other things would sign people out.",
        _with(events={"https://another-event.example": {}}),
    ),
    Case(
        "nonce",
        "A nonce, which marks ID tokens",
        "§2.6 step 7",
        "ID tokens, which browsers carry around, would pass as notices.",
        _with(nonce="self-test"),
    ),
    Case(
        "empty",
        "A form without a logout_token",
        "§2.5",
        "Anybody could make your code run without a token.",
        _nothing,
    ),
)
"""In the order in which they are sent and shown: the genuine one first, because without it the others say nothing."""
