"""The wire errors of our endpoints for programs: one table from what a rule refused to code, status and safe text.

Serves RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707 §2. Descriptions are fixed texts in the characters that RFC 6749 allows;
nothing that a caller sent is ever repeated in them. Built on Authlib's `OAuth2Error`, which checks those characters.
"""

from authlib.oauth2.rfc6749 import OAuth2Error

from idp.tokens import Refused

REALM = "idp"


class InvalidRequest(OAuth2Error):
    """The request itself is malformed."""

    error = "invalid_request"


class InvalidClient(OAuth2Error):
    """The client could not be authenticated; the cause is never told."""

    error = "invalid_client"
    description = "The client could not be authenticated."
    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        """RFC 9110 §15.5.2: every 401 names a scheme. RFC 6749 §5.2: Basic is the one we can be asked with."""
        return [*super().get_headers(), ("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"')]


class UnsupportedGrantType(OAuth2Error):
    """No such grant here."""

    error = "unsupported_grant_type"
    description = "This grant type is not supported."


class UnauthorizedClient(OAuth2Error):
    """A good client, but not one that may use this."""

    error = "unauthorized_client"
    description = "The client may not use this grant type."


class InvalidScope(OAuth2Error):
    """A scope that this client can't have."""

    error = "invalid_scope"
    description = "The scope is malformed or not allowed for this client."


class InvalidTarget(OAuth2Error):
    """A resource that this client or grant can't have (RFC 8707 §2)."""

    error = "invalid_target"
    description = "The resource is malformed or not allowed here."


def error_of(refused: Refused) -> OAuth2Error:
    """The wire form of a rule's refusal: always 400, the rule's own public text, never its detail."""
    return OAuth2Error(error=refused.error, description=refused.description, status_code=400)
