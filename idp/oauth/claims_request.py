"""The `claims` parameter (OIDC Core §5.5): reading its JSON, and keeping only what can ever matter.

What is kept is small and made of names we know: it is stored with the family and read at every userinfo request. Asking
by name gives no more than asking by scope: each claim belongs to a scope, which the client must be allowed and the
person must allow.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from idp.kit.wording import is_storable
from idp.users.claims import CLAIM_SCOPES

MAXIMUM_LENGTH = 4096
MAXIMUM_VALUES = 20


class MalformedClaims(ValueError):
    """The parameter is not what OIDC Core §5.5 describes."""


@dataclass(frozen=True)
class ClaimsRequest:
    """What the parameter asks for, in our terms."""

    userinfo: tuple[str, ...] = ()
    # OIDC Core §5.5.1: the request is for this person only.
    sub: str | None = None
    # OIDC Core §5.5.1.1: one of these, or no answer at all.
    essential_acr: tuple[str, ...] = field(default=())

    @property
    def implied_scopes(self) -> tuple[str, ...]:
        """The scopes to which the claims asked for by name belong."""
        return tuple(dict.fromkeys(CLAIM_SCOPES[claim] for claim in self.userinfo))

    def for_family(self, allowed_scopes: tuple[str, ...]) -> dict[str, Any]:
        """What the token family keeps: names of claims whose scope the client may have."""
        kept = [claim for claim in self.userinfo if CLAIM_SCOPES[claim] in allowed_scopes]
        return {"userinfo": kept} if kept else {}


def read_claims_request(text: str) -> ClaimsRequest:
    """Parse the parameter. Raises `MalformedClaims`. Unknown members and claims are ignored (§5.5)."""
    if len(text) > MAXIMUM_LENGTH:
        raise MalformedClaims("too long")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedClaims("not JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedClaims("not an object")
    userinfo, id_token = _members(parsed.get("userinfo")), _members(parsed.get("id_token"))
    return ClaimsRequest(
        userinfo=tuple(name for name in userinfo if name in CLAIM_SCOPES),
        sub=next(iter(_values(id_token.get("sub")) or _values(userinfo.get("sub"))), None),
        essential_acr=_values(id_token.get("acr")) if (id_token.get("acr") or {}).get("essential") is True else (),
    )


def _members(value: object) -> dict[str, dict[str, Any] | None]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedClaims("a member is not an object")
    for request in value.values():
        if request is not None and not isinstance(request, dict):
            raise MalformedClaims("a claim is neither null nor an object")
    return value


def _values(request: dict[str, Any] | None) -> tuple[str, ...]:
    """The acceptable values of a claim: `value`, or `values`."""
    if not request:
        return ()
    listed = request.get("values")
    candidates = [request["value"]] if "value" in request else listed if isinstance(listed, list) else []
    if len(candidates) > MAXIMUM_VALUES or not all(isinstance(one, str) and is_storable(one) for one in candidates):
        raise MalformedClaims("a value is not a text")
    return tuple(candidates)
