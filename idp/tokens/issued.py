"""What a redemption or refresh yields, before it is written as JWTs; and the refusals.

`Refused.description` is the same for every cause of `invalid_grant`: status, body and headers of refusals look alike
from outside (design §5). `detail` is for logs and the audit trail.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from idp.clients import ClientTerms, ProvenClient
from idp.kit.clock import whole_second_after
from idp.kit.opaque import Secret
from idp.settings import Settings

OFFLINE_ACCESS = "offline_access"
OPENID = "openid"
CLIENT_SUBJECT_PREFIX = "client:"  # a user's `sub` is base64url and has no colon: the two can't collide


class Issued(NamedTuple):
    """Everything that the tokens of one answer say. `access_expires_at` is what the database recorded."""

    family_id: str
    jti: str
    client_id: str
    sub: str
    user_id: str | None
    session_id: str | None
    sid: str | None
    scope: tuple[str, ...]
    resources: list[str]
    auth_time: datetime | None
    amr: list[str]
    acr: str | None
    nonce: str | None
    claims_request: dict[str, Any]
    issued_at: datetime
    access_expires_at: datetime
    refresh_token: Secret | None
    id_token_alg: str
    outcome: str

    @property
    def wants_id_token(self) -> bool:
        """Whether the answer carries an ID token (OIDC Core §3.1.3.3)."""
        return self.user_id is not None and OPENID in self.scope


@dataclass(frozen=True)
class Refused:
    """No token. `error` is an RFC 6749 §5.2 code."""

    error: str
    description: str
    detail: str


def refuse_grant(detail: str) -> Refused:
    """`invalid_grant`, with the one description that all causes share."""
    return Refused("invalid_grant", "The grant is not valid, has ended or was used before. Sign in again.", detail)


def access_lifetime(client: ClientTerms | ProvenClient, settings: Settings) -> timedelta:
    """The lifetime of a client's access tokens."""
    return client.access_token_lifetime or settings.access_token_lifetime


def access_expiry(now: datetime, lifetime: timedelta) -> datetime:
    """The `exp` of an access token issued now: whole seconds, and never later than now + lifetime (I3)."""
    expiry = (now + lifetime).replace(microsecond=0)
    return expiry if expiry > now else whole_second_after(now)


def audience_of(client: ClientTerms | ProvenClient, resources: list[str], settings: Settings) -> list[str]:
    """RFC 8707 §2.2, RFC 9068 §3: what was asked for, else the client's default resource, else our userinfo."""
    return resources or [client.default_resource or settings.url("/oauth2/userinfo")]
