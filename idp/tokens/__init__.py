"""Tokens: codes, families, refresh tokens, access and ID tokens; what each may do and when it is over.

Owns the table of design §5 and every statement on token families except the mark that ends leave. Refuses to know
HTTP and Authlib. A token's validity is derived from family, session, user and client at each look, never stored.
"""

from idp.tokens.check import LiveToken, check_access_token, check_refresh_token
from idp.tokens.codes import CodeRefused, CodeRequest, issue_code, makes_app_session
from idp.tokens.families import issue_client_credentials
from idp.tokens.issued import Issued, Refused, refuse_grant
from idp.tokens.jwts import (
    AccessTokenClaims,
    IdTokenHint,
    read_access_token,
    read_id_token_hint,
    sign_access_token,
    sign_id_token,
)
from idp.tokens.redemption import redeem_code
from idp.tokens.refresh import refresh
from idp.tokens.revoke import deny_access_token, revoke_refresh_token

__all__ = [
    "AccessTokenClaims",
    "CodeRefused",
    "CodeRequest",
    "IdTokenHint",
    "Issued",
    "LiveToken",
    "Refused",
    "check_access_token",
    "check_refresh_token",
    "deny_access_token",
    "issue_client_credentials",
    "issue_code",
    "makes_app_session",
    "read_access_token",
    "read_id_token_hint",
    "redeem_code",
    "refresh",
    "refuse_grant",
    "revoke_refresh_token",
    "sign_access_token",
    "sign_id_token",
]
