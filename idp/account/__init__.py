"""The account desk: /account. Where am I signed in, who has access, what happened, and ending what shall end.

Shows what the rooms below say, and calls their one path to end things. Ending never asks for a fresh sign-in: whoever
wants less access gets it.
"""

from idp.account import (
    activity,
    applications,
    choosing,
    ending,
    one_session,
    password,
    receipts,
    session_check,
    signed_in_devices,
)
from idp.account.desk import blueprint

__all__ = [
    "activity",
    "applications",
    "blueprint",
    "choosing",
    "ending",
    "one_session",
    "password",
    "receipts",
    "session_check",
    "signed_in_devices",
]
