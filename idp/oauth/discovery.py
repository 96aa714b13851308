"""What we say about ourselves: the metadata document and the JWK Set.

Serves OIDC Discovery §3 and RFC 8414 §2; both well-known addresses give the same document. Only what is switched on is
listed, and only registered member names are used: everything in here is a promise.
"""

from typing import Any

from idp.keys.material import ALGORITHMS
from idp.oauth.client_auth import METHODS, SECRET_METHODS
from idp.oauth.grants import GRANTS
from idp.users.claims import CLAIMS_SUPPORTED, SCOPE_CLAIMS
from idp.web import current_services

_PROTOCOL_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash")


def metadata() -> dict[str, Any]:
    """The provider's metadata. Every address is made from the configured issuer, never from the request."""
    settings = current_services().settings
    return {
        "issuer": settings.issuer,
        "authorization_endpoint": settings.url("/oauth2/authorize"),
        "token_endpoint": settings.url("/oauth2/token"),
        "userinfo_endpoint": settings.url("/oauth2/userinfo"),
        "jwks_uri": settings.url("/oauth2/jwks"),
        "revocation_endpoint": settings.url("/oauth2/revoke"),
        "introspection_endpoint": settings.url("/oauth2/introspect"),
        "end_session_endpoint": settings.url("/oauth2/logout"),
        "scopes_supported": ["openid", *SCOPE_CLAIMS, "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": [grant.GRANT_TYPE for grant in GRANTS],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "token_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "introspection_endpoint_auth_methods_supported": list(SECRET_METHODS),
        "code_challenge_methods_supported": ["S256"],
        "claim_types_supported": ["normal"],
        "claims_supported": [*_PROTOCOL_CLAIMS, *CLAIMS_SUPPORTED],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        # OIDC Discovery §3: the default when it is left out is true.
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        # Front-Channel Logout §3: best effort, and `iss` and `sid` always come along.
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
    }


def jwks() -> dict[str, Any]:
    """The public keys, those published ahead of use included."""
    services = current_services()
    return services.keys.jwks(services.clock.now())
