"""The one decision of signing in: from what is stored and proven, what comes next. Pure.

Every way in asks here, and no page decides for itself: second factors skipped by a side door (a reset, an e-mail link,
an empty POST) are how other providers were broken (lessons, "security classes").
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Step(StrEnum):
    """What the sign-in desk does next."""

    ASK_PASSWORD = "ask_password"
    START_SESSION = "start_session"
    GO_ON = "go_on"


@dataclass(frozen=True)
class SignInState:
    """All that the decision depends on.

    `signed_in_at` is the `auth_time` of this browser's live session; `asked_at` the moment at which a waiting
    authorization request was stored; `proven` the methods (RFC 8176) that the server itself has just verified.
    """

    signed_in_at: datetime | None = None
    asked_at: datetime | None = None
    wants_other_account: bool = False
    proven: frozenset[str] = field(default_factory=frozenset)


def next_step(state: SignInState) -> Step:
    """The next step. A live session alone is enough only when nobody asked for a fresh sign-in."""
    if "pwd" in state.proven:
        return Step.START_SESSION
    if state.signed_in_at is None or state.wants_other_account:
        return Step.ASK_PASSWORD
    # The authorization endpoint sends a signed-in person here only for prompt=login or an exceeded max_age (OIDC Core
    # §3.1.2.1): that is answered by a sign-in later than the request, for instance in another tab.
    if state.asked_at is not None and state.signed_in_at < state.asked_at:
        return Step.ASK_PASSWORD
    return Step.GO_ON
