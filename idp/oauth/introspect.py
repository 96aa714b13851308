"""The introspection endpoint (RFC 7662): is this token good now, and what may it do?

Answers clients with a secret only, and only about tokens that are their business: their own, or access tokens made for
a resource that they are registered to be (`Client.resource_identifiers`). Everything else is exactly
`{"active": false}`: a "no" must not say why (§2.2, §4).
"""

from typing import Any

from idp.clients import ProvenClient, resource_identifiers
from idp.oauth.asked import Asked, read_form, required
from idp.oauth.client_auth import SECRET_METHODS, prove, read_credentials
from idp.oauth.errors import InvalidClient
from idp.tokens import AccessTokenClaims, LiveToken, check_access_token, check_refresh_token, read_access_token

INACTIVE: dict[str, Any] = {"active": False}


def introspect(asked: Asked) -> dict[str, Any]:
    """The answer about the form's `token`. Raises `OAuth2Error`. Two statements: the client, and the token's state."""
    services, form = asked.services, read_form(asked)
    now, settings = services.clock.now(), services.settings
    credentials = read_credentials(asked.authorizations, form)
    if credentials.method not in SECRET_METHODS:
        raise InvalidClient
    token = required(form, "token")
    claims = read_access_token(token, keys=services.keys, issuer=settings.issuer, now=now)
    with services.database.single_reads() as statements:
        client = prove(statements, credentials, now)
        if claims is not None:
            if not _is_concerned(client, claims):
                return INACTIVE
            live = check_access_token(statements, claims=claims, settings=settings, now=now)
            return INACTIVE if live is None else _describe_access_token(live, claims, settings.issuer)
        live = check_refresh_token(statements, token=token, settings=settings, keyring=services.keyring, now=now)
        if live is None or live.client_id != client.id:
            return INACTIVE
        return _describe_refresh_token(live, settings.issuer)


def _is_concerned(client: ProvenClient, claims: AccessTokenClaims) -> bool:
    return claims.client_id == client.id or bool(set(claims.audience) & resource_identifiers(client))


def _describe_access_token(live: LiveToken, claims: AccessTokenClaims, issuer: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "active": True,
        "token_type": "Bearer",
        "iss": issuer,
        "sub": claims.sub,
        "aud": claims.audience[0] if len(claims.audience) == 1 else list(claims.audience),
        "client_id": claims.client_id,
        # What the client lost since the token was made is gone (I10).
        "scope": " ".join(scope for scope in claims.scope if scope in live.client_scopes),
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.expires_at.timestamp()),
        "jti": claims.jti,
    }
    return answer | _of_the_sign_in(live)


def _describe_refresh_token(live: LiveToken, issuer: str) -> dict[str, Any]:
    assert live.sub is not None, "a refresh token belongs to a person"
    answer: dict[str, Any] = {
        "active": True,
        "iss": issuer,
        "sub": live.sub,
        "client_id": live.client_id,
        "scope": " ".join(scope for scope in live.scope if scope in live.client_scopes),
        "iat": int(live.started_at.timestamp()),
    }
    return answer | _of_the_sign_in(live)


def _of_the_sign_in(live: LiveToken) -> dict[str, Any]:
    if live.sub is None:
        return {}
    found: dict[str, Any] = {}
    if live.sid is not None:
        found["sid"] = live.sid
    if live.auth_time is not None:
        found["auth_time"] = int(live.auth_time.timestamp())
    if live.acr is not None:
        found["acr"] = live.acr
    return found
