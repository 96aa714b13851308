"""What an application that asked for it is told of why a session ended: the claim `logout_reason` of its logout tokens.

A private claim (RFC 7519 §4.3), agreed on by registration. Coarse on purpose: it tells an application what it may say
to the person ("your session was idle"), and nothing that it has no business to know, such as which other application
was at work or what became of the account.
"""

from enum import StrEnum

from idp.db.models import EndReason

CLAIM = "logout_reason"


class LogoutReason(StrEnum):
    """The closed set of values. docs/how-to/receive-logout-notices.md lists them; adding one is no breaking change."""

    SIGNED_OUT = "signed_out"
    IDLE = "idle"
    EXPIRED = "expired"
    ADMINISTRATOR = "administrator"
    SECURITY = "security"
    ACCESS_WITHDRAWN = "access_withdrawn"
    OTHER = "other"


_SAID: dict[str, LogoutReason] = {
    EndReason.SIGNED_OUT: LogoutReason.SIGNED_OUT,
    EndReason.SIGNED_OUT_BY_APPLICATION: LogoutReason.SIGNED_OUT,
    EndReason.ENDED_BY_PERSON: LogoutReason.SIGNED_OUT,
    EndReason.SIGNED_OUT_EVERYWHERE_ELSE: LogoutReason.SIGNED_OUT,
    EndReason.SIGNED_OUT_EVERYWHERE: LogoutReason.SIGNED_OUT,
    EndReason.SIGNED_OUT_BROWSERS: LogoutReason.SIGNED_OUT,
    EndReason.IDLE: LogoutReason.IDLE,
    EndReason.EXPIRED: LogoutReason.EXPIRED,
    EndReason.PARTICIPATION_IDLE: LogoutReason.IDLE,
    EndReason.PARTICIPATION_EXPIRED: LogoutReason.EXPIRED,
    EndReason.ENDED_BY_ADMINISTRATOR: LogoutReason.ADMINISTRATOR,
    EndReason.PASSWORD_CHANGED: LogoutReason.SECURITY,
    EndReason.REFRESH_TOKEN_REUSE: LogoutReason.SECURITY,
    EndReason.REFRESH_TOKEN_AHEAD: LogoutReason.SECURITY,
    EndReason.CODE_REUSED: LogoutReason.SECURITY,
    EndReason.RESTORED: LogoutReason.SECURITY,
    EndReason.CONSENT_WITHDRAWN: LogoutReason.ACCESS_WITHDRAWN,
    EndReason.CLIENT_DISABLED: LogoutReason.ACCESS_WITHDRAWN,
    EndReason.CLIENT_DELETED: LogoutReason.ACCESS_WITHDRAWN,
    EndReason.TOKEN_REVOKED: LogoutReason.ACCESS_WITHDRAWN,
}


def logout_reason_of(reason: str) -> LogoutReason:
    """The value for an `EndReason`. What is nobody else's business, a closed account say, is `other`."""
    return _SAID.get(reason, LogoutReason.OTHER)
