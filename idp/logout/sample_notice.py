"""A notice about nothing: a genuine logout token for a `sid` that never was, which a correct application just accepts.

For operators and developers of applications: to send as a test, or to look at. Serves Back-Channel Logout §2.5: the
request shown is the one that would be sent, byte for byte but for the token, which is fresh each time.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from idp.db.models import Client
from idp.db.models.clients import ClientOrigin
from idp.kit.destinations import Target
from idp.kit.host_limits import host_of
from idp.kit.opaque import new_secret
from idp.logout.logout_token import logout_claims, sign_logout_token
from idp.outbox import Claimed
from idp.outbox.logout_reason import LogoutReason
from idp.web.services import Services


@dataclass(frozen=True)
class ShownRequest:
    """A request as it goes over the wire, the token in it, and what the token says."""

    text: str
    token: str
    claims: dict[str, Any]


def sample_notice(client: Client, *, now: datetime) -> Claimed:
    """What the sender takes, about a session that never was. Raises `ValueError` without a back-channel address."""
    if client.backchannel_logout_uri is None:
        raise ValueError("the client has no back-channel address")
    nobody = f"test-{new_secret(128).reveal()}"
    return Claimed(
        id="",
        client_id=client.id,
        uri=client.backchannel_logout_uri,
        host=host_of(client.backchannel_logout_uri),
        operator_registered=client.origin is ClientOrigin.OPERATOR,
        audience=client.id,
        sub=nobody,
        sid=nobody,
        algorithm=client.id_token_signed_response_alg,
        ended_at=now,
        created_at=now,
        attempts=1,
        refusals=0,
        holder="",
        leased_until=now,
        logout_reason=LogoutReason.SIGNED_OUT if client.wants_logout_reason else None,
    )


def shown_request(services: Services, client: Client, *, now: datetime) -> ShownRequest:
    """The exact request of a notice. Raises `KeyUnavailable`, and `ValueError` when there is no usable address."""
    notice = sample_notice(client, now=now)
    signer = services.keys.signer(notice.algorithm, now)
    claims = logout_claims(notice, issuer=services.settings.issuer, now=now)
    token = sign_logout_token(claims, signer)
    target = Target.parse(notice.uri)
    if isinstance(target, str):
        raise ValueError(f"the address {target}")
    body = urlencode({"logout_token": token})
    lines = (
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/x-www-form-urlencoded",
        "Accept: */*",
        "User-Agent: idp",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
        body,
    )
    return ShownRequest("\r\n".join(lines), token, claims)
