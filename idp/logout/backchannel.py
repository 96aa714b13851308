"""The sender of back-channel logout: one attempt to tell one client, through the guarded outbound client.

Owns the request of OIDC Back-Channel Logout §2.5: a POST with the logout token as its only parameter. Decides nothing
about retries (`idp.outbox.next_step` does), records nothing, and is never called inside a transaction.
"""

from idp.keys import KeyUnavailable
from idp.logout.logout_token import make_logout_token
from idp.outbox import Claimed, CouldNotBuild, Outcome
from idp.web.services import Services

MAX_ANSWER_BYTES = 65536


def send_notice(services: Services, claimed: Claimed) -> Outcome:
    """Make a fresh logout token and post it. Network trouble is an outcome, not an exception."""
    now = services.clock.now()
    try:
        signer = services.keys.signer(claimed.algorithm, now)
    except KeyUnavailable as error:
        return CouldNotBuild(f"no logout token could be signed with {claimed.algorithm}: {error}")
    token = make_logout_token(claimed, signer=signer, issuer=services.settings.issuer, now=now)
    return services.outbound.post_form(
        claimed.uri,
        {"logout_token": token},
        # An allow-list entry for an internal network is for those that the operator entered, nobody else (design §7).
        operator_registered=claimed.operator_registered,
        deadline_seconds=services.settings.delivery_request_lifetime.total_seconds(),
        max_bytes=MAX_ANSWER_BYTES,
    )
