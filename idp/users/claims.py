"""Claims about a person: which ones a scope or the `claims` parameter gives, in the types that OpenID Connect fixes.

Serves OIDC Core §5.1 (names and types), §5.4 (scopes) and §5.5 (the claims parameter). What is unknown, empty or of
another type than the standard's is left out rather than sent: RPs break on empty strings. `sub` is not made here.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from idp.db.models import User

# OIDC Core §5.4
SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "profile": (
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}
CLAIM_SCOPES: dict[str, str] = {claim: scope for scope, claims in SCOPE_CLAIMS.items() for claim in claims}
CLAIMS_SUPPORTED: tuple[str, ...] = tuple(CLAIM_SCOPES)
# OIDC Core §5.1.1
_ADDRESS_MEMBERS = ("formatted", "street_address", "locality", "region", "postal_code", "country")


class PersonClaims(NamedTuple):
    """What we know of a person that may be told, without the rest of their row."""

    username: str | None
    email: str | None
    email_verified_at: datetime | None
    claims: dict[str, Any]
    claims_updated_at: datetime


def userinfo_claims(
    user: User | PersonClaims, *, scopes: Iterable[str], claims_request_members: Collection[str] = ()
) -> dict[str, Any]:
    """The claims that `scopes` give and those asked for by name, as far as we know them. Without `sub`."""
    wanted = [claim for scope in scopes for claim in SCOPE_CLAIMS.get(scope, ())]
    wanted += [claim for claim in claims_request_members if claim in CLAIM_SCOPES]
    found = {claim: _value_of(user, claim) for claim in dict.fromkeys(wanted)}
    # "Verified" says something about a value: without the value it says nothing.
    if _value_of(user, "email") is None:
        found.pop("email_verified", None)
    if _value_of(user, "phone_number") is None:
        found.pop("phone_number_verified", None)
    return {claim: value for claim, value in found.items() if value is not None}


def display_name(user: User) -> str:
    """What we call a person on our own pages."""
    claims = user.claims or {}
    full = " ".join(part for part in (_text(claims.get("given_name")), _text(claims.get("family_name"))) if part)
    return _text(claims.get("name")) or full or user.username or user.email or ""


def _value_of(user: User | PersonClaims, claim: str) -> Any:
    stored = (user.claims or {}).get(claim)
    match claim:
        case "email":
            return user.email or None
        case "email_verified":
            return user.email_verified_at is not None
        case "preferred_username":
            return user.username or _text(stored)
        case "updated_at":
            return int(user.claims_updated_at.timestamp())
        case "phone_number_verified":
            return stored is True
        case "address":
            return _address(stored)
        case _:
            return _text(stored)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _address(value: object) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    members = {name: text for name in _ADDRESS_MEMBERS if (text := _text(value.get(name)))}
    return members or None
