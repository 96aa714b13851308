"""What was issued, written as the token endpoint's JSON (RFC 6749 §5.1, OIDC Core §3.1.3.3).

Signing happens after the commit: an answer never speaks of what is not on disk (I12).
"""

from idp.tokens import Issued, sign_access_token, sign_id_token
from idp.web import Services

# Ten times cheaper to sign than RS256; every resource server of ours reads the JWKS and finds the key there.
ACCESS_TOKEN_ALGORITHM = "ES256"


def token_answer(issued: Issued, services: Services) -> dict[str, object]:
    """The body of a successful answer."""
    issuer, now = services.settings.issuer, issued.issued_at
    access_token = sign_access_token(issued, signer=services.keys.signer(ACCESS_TOKEN_ALGORITHM, now), issuer=issuer)
    answer: dict[str, object] = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": int(issued.access_expires_at.timestamp()) - int(now.timestamp()),
        "scope": " ".join(issued.scope),
    }
    if issued.refresh_token is not None:
        answer["refresh_token"] = issued.refresh_token.reveal()
    if issued.wants_id_token:
        answer["id_token"] = sign_id_token(
            issued,
            signer=services.keys.signer(issued.id_token_alg, now),
            issuer=issuer,
            now=now,
            lifetime=services.settings.id_token_lifetime,
            access_token=access_token,
        )
    return answer
