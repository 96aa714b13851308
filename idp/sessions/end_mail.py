"""Mail about ends that a person should hear of although they may not have been there: written in the commit that ends.

Not for what somebody does to one session of their own, nor for what time does: mail that comes often is read by nobody.
Nor for reused tokens, passwords, and accounts closed or deleted: those letters are written where more is known.
"""

from datetime import datetime

from idp.db.engine import Tx
from idp.db.models import EndReason
from idp.mail import enqueue_mail
from idp.mail.letters import signed_out
from idp.settings import Settings

_WHY: dict[str, str] = {
    EndReason.ENDED_BY_ADMINISTRATOR: "an administrator ended it",
    EndReason.SIGNED_OUT_EVERYWHERE: "“Sign out everywhere” was used",
    EndReason.RESTORED: "our records were restored from a back-up, and what was signed in then was ended to be safe",
}


def tell_person(
    tx: Tx, *, user_id: str, reason: str, browsers: int, apps: int, settings: Settings, now: datetime
) -> bool:
    """Write the letter about an end, if this reason has one. False: none was written."""
    why = _WHY.get(reason)
    # Asked here too: composing a letter that nobody could send costs as much as a statement.
    if why is None or browsers + apps == 0 or not settings.smtp_host:
        return False
    letter = signed_out(why=why, browsers=browsers, apps=apps, now=now, settings=settings)
    return enqueue_mail(tx, user_id=user_id, letter=letter, settings=settings, now=now)
