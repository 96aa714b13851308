"""What a request to sign out leads to: one pure decision, from the cookie's session and the hint (design §7).

The cookie decides, not the hint: a hint names a session, only the browser that holds that session may end it.
"""

from enum import StrEnum

from idp.db.models import SessionKind
from idp.sessions import CurrentSession, SidOwner


class Step(StrEnum):
    """What to do with a request to sign out."""

    NOTHING_LEFT = "nothing_left"
    END_BROWSER = "end_browser"
    END_APP_THEN_ASK = "end_app_then_ask"
    ASK = "ask"


def next_step(current: CurrentSession | None, named: SidOwner | None) -> Step:
    """`named` is the session that the hint's `sid` belongs to, if there is one."""
    if current is None:
        return Step.NOTHING_LEFT
    if named is None or named.user_id != current.user_id:
        return Step.ASK
    if named.session_id == current.id:
        return Step.END_BROWSER
    if named.kind is SessionKind.APP and named.parent_id == current.id:
        return Step.END_APP_THEN_ASK
    return Step.ASK
