"""The userinfo endpoint (OIDC Core §5.3): what an access token lets its client know about the person.

The token comes in the header or, by POST, in the form, never in the address and never twice (RFC 6750 §2). It must be
meant for us: one for another audience is refused here as ours is refused there.
"""

import re
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error

from idp.oauth.asked import Asked
from idp.oauth.errors import REALM
from idp.tokens import check_access_token, read_access_token
from idp.users.claims import userinfo_claims

_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*)\Z", re.IGNORECASE)


class BearerError(OAuth2Error):
    """A refusal of RFC 6750 §3.1, with its challenge."""

    def get_headers(self) -> list[tuple[str, str]]:
        """RFC 6750 §3: error codes stand in the challenge, except when no token was sent."""
        parts = [f'realm="{REALM}"']
        if self.error != "missing_token":
            parts += [f'error="{self.error}"', f'error_description="{self.description}"']
        if self.error == "insufficient_scope":
            parts.append('scope="openid"')
        return [*super().get_headers(), ("WWW-Authenticate", "Bearer " + ", ".join(parts))]


def userinfo(asked: Asked) -> dict[str, Any]:
    """The claims for the request's token. Raises `BearerError`. One statement."""
    services = asked.services
    now, settings = services.clock.now(), services.settings
    token = _find_token(asked)
    claims = read_access_token(token, keys=services.keys, issuer=settings.issuer, now=now)
    if claims is None or settings.url("/oauth2/userinfo") not in claims.audience:
        raise _invalid_token()
    with services.database.single_reads() as statements:
        live = check_access_token(statements, claims=claims, settings=settings, now=now)
    if live is None:
        raise _invalid_token()
    scopes = [scope for scope in claims.scope if scope in live.client_scopes]
    person = live.person
    if person is None or "openid" not in scopes:
        raise BearerError(
            error="insufficient_scope", description="The token was not given the scope openid.", status_code=403
        )
    asked_by_name = (live.claims_request or {}).get("userinfo", {})
    return {
        "sub": live.sub,
        **userinfo_claims(person, scopes=scopes, claims_request_members=asked_by_name),
    }


def _find_token(asked: Asked) -> str:
    authorizations = asked.authorizations
    in_form = [value for name, value in asked.fields or () if name == "access_token"]
    if len(authorizations) + len(in_form) > 1:
        # RFC 6750 §2: not more than one method, §3.1: nor a parameter twice.
        raise BearerError(error="invalid_request", description="The token was sent more than once.", status_code=400)
    if in_form:
        return in_form[0]
    match = _BEARER.match(authorizations[0]) if authorizations else None
    if match:
        return match.group(1)
    if authorizations and authorizations[0].lower().startswith("bearer"):
        raise BearerError(error="invalid_request", description="The header is malformed.", status_code=400)
    raise BearerError(error="missing_token", description="An access token is needed.", status_code=401)


def _invalid_token() -> BearerError:
    return BearerError(
        error="invalid_token", description="The token is not valid here, has expired or was ended.", status_code=401
    )
