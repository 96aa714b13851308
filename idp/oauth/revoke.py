"""The revocation endpoint (RFC 7009): ends exactly the token that is named, and only for the client that holds it.

A token that is unknown, over, or another client's gives the same empty 200 as one that was revoked: the caller wanted
it dead, and must not learn anything about tokens of others (§2.2; design §6 says what each kind of token takes along).
"""

from typing import Any

from idp.db.engine import Tx
from idp.db.models import EndReason, TokenFamily
from idp.kit import metrics
from idp.oauth.asked import Asked, read_form, required
from idp.oauth.client_auth import prove, read_credentials
from idp.tokens import AccessTokenClaims, deny_access_token, read_access_token, revoke_refresh_token


def revoke(asked: Asked) -> None:
    """Revoke the form's `token`. Raises `OAuth2Error`. `token_type_hint` is ignored: our tokens show what they are."""
    services, form = asked.services, read_form(asked)
    now, settings = services.clock.now(), services.settings
    credentials = read_credentials(asked.authorizations, form)
    token = required(form, "token")
    claims = read_access_token(token, keys=services.keys, issuer=settings.issuer, now=now)
    is_revoked = False
    with services.database.single_reads() as statements:
        client = prove(statements, credentials, now)
    with services.database.transaction() as tx:
        if claims is None:
            is_revoked = revoke_refresh_token(
                tx, token=token, client_id=client.id, settings=settings, keyring=services.keyring, now=now
            )
        elif claims.client_id == client.id:
            deny_access_token(tx, **_denial(tx, claims), now=now)
    if is_revoked:
        metrics.count_ends(EndReason.TOKEN_REVOKED)


def _denial(tx: Tx, claims: AccessTokenClaims) -> dict[str, Any]:
    family = tx.get(TokenFamily, claims.family_id)
    return {
        "jti": claims.jti,
        "client_id": claims.client_id,
        "user_id": family.user_id if family else None,
        "expires_at": claims.expires_at,
    }
