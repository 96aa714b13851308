"""Why a session ended, in plain words: for the history, for the sign-in page and for receipts (lesson 22)."""

from datetime import timedelta

from idp.db.models import EndReason
from idp.sessions.why import WhyEnded
from idp.web.times import rough_length

_HISTORY: dict[str, str] = {
    EndReason.SIGNED_OUT: "You signed out",
    EndReason.SIGNED_OUT_BY_APPLICATION: "You signed out from an application",
    EndReason.ENDED_BY_PERSON: "You signed it out on the account page",
    EndReason.SIGNED_OUT_EVERYWHERE_ELSE: "You signed out everywhere else",
    EndReason.SIGNED_OUT_EVERYWHERE: "You signed out everywhere",
    EndReason.SIGNED_OUT_BROWSERS: "You signed out your browsers and kept your apps",
    EndReason.OTHER_PERSON_SIGNED_IN: "Another person signed in in the same browser",
    EndReason.ENDED_BY_ADMINISTRATOR: "An administrator signed it out",
    EndReason.IDLE: "It was not used for a long time",
    EndReason.EXPIRED: "It had reached its longest lifetime",
    EndReason.PARTICIPATION_IDLE: "The application was not used for as long as it may lie unused",
    EndReason.PARTICIPATION_EXPIRED: "In this application a sign-in lasts only so long",
    EndReason.SESSION_CAP: "You signed in with the same app once more, and this was the copy unused longest",
    EndReason.PASSWORD_CHANGED: "Your password was changed",
    EndReason.USER_DISABLED: "Your account was closed for a time",
    EndReason.USER_DELETED: "Your account was deleted",
    EndReason.REFRESH_TOKEN_REUSE: "Its access was used from two places, as if it had been copied",
    EndReason.REFRESH_TOKEN_AHEAD: "Its access did not fit our records",
    EndReason.TOKEN_REVOKED: "The app signed itself out",
    EndReason.CONSENT_WITHDRAWN: "You withdrew the application’s access",
    EndReason.CLIENT_DISABLED: "The application was switched off",
    EndReason.CLIENT_DELETED: "The application was removed",
    EndReason.CODE_REUSED: "A sign-in was used twice, as if it had been copied",
    EndReason.RESTORED: "Our records were restored from a backup",
    EndReason.SIGN_IN_AGAIN: "The people who run this service asked for a new sign-in",
}

# What the next sign-in page in the same browser says. The first two a person meets only with an old copy of the cookie.
_AT_SIGN_IN: dict[str, str] = {
    EndReason.SIGNED_OUT: "You signed out.",
    EndReason.SIGNED_OUT_BY_APPLICATION: "You signed out from an application.",
    EndReason.ENDED_BY_PERSON: "You were signed out because this browser was signed out from another device.",
    EndReason.SIGNED_OUT_EVERYWHERE_ELSE: (
        "You were signed out because “Sign out everywhere else” was used on another device."
    ),
    EndReason.SIGNED_OUT_EVERYWHERE: "You were signed out because “Sign out everywhere” was used.",
    EndReason.SIGNED_OUT_BROWSERS: "You were signed out because all browsers were signed out at once.",
    EndReason.OTHER_PERSON_SIGNED_IN: "You were signed out because somebody else signed in in this browser.",
    EndReason.ENDED_BY_ADMINISTRATOR: "You were signed out because an administrator ended your session.",
    EndReason.IDLE: "You were signed out because this browser was not used for a long time.",
    EndReason.EXPIRED: "You were signed out because a sign-in lasts only so long. Please sign in again.",
    EndReason.PARTICIPATION_IDLE: "You were signed out of the application because it was not used for a long time.",
    EndReason.PARTICIPATION_EXPIRED: "You were signed out of the application: a sign-in there lasts only so long.",
    EndReason.SESSION_CAP: "You were signed out because you are signed in with newer copies of the same app.",
    EndReason.PASSWORD_CHANGED: "You were signed out because your password was changed.",
    EndReason.USER_DISABLED: "You were signed out because your account was closed for a time.",
    EndReason.USER_DELETED: "You were signed out because your account was deleted.",
    EndReason.REFRESH_TOKEN_REUSE: "You were signed out because an old copy of this sign-in was used.",
    EndReason.REFRESH_TOKEN_AHEAD: "You were signed out because this sign-in did not fit our records.",
    EndReason.TOKEN_REVOKED: "You were signed out because the application signed itself out.",
    EndReason.CONSENT_WITHDRAWN: "You were signed out because you withdrew the application’s access.",
    EndReason.CLIENT_DISABLED: "You were signed out because the application was switched off.",
    EndReason.CLIENT_DELETED: "You were signed out because the application was removed.",
    EndReason.CODE_REUSED: "You were signed out because this sign-in was used twice.",
    EndReason.RESTORED: "You were signed out because our records were restored from a backup.",
    EndReason.SIGN_IN_AGAIN: "You were signed out because the people who run this service asked for a new sign-in.",
}


_HISTORY_LASTED: dict[str, str] = {
    EndReason.IDLE: "It was not used for {}",
    EndReason.EXPIRED: "It had reached its longest lifetime, {} after the sign-in",
}
# What is said of several things that one act ended.
_HISTORY_OF_MANY: dict[str, str] = {
    EndReason.ENDED_BY_PERSON: "You signed them out on the account page",
    EndReason.ENDED_BY_ADMINISTRATOR: "An administrator signed them out",
    EndReason.IDLE: "They were not used for a long time",
    EndReason.EXPIRED: "They had reached their longest lifetime",
    EndReason.REFRESH_TOKEN_REUSE: "Their access was used from two places, as if it had been copied",
    EndReason.REFRESH_TOKEN_AHEAD: "Their access did not fit our records",
}
_AT_SIGN_IN_LASTED: dict[str, str] = {
    EndReason.IDLE: "You were signed out because this browser was not used for {}.",
    EndReason.EXPIRED: "You were signed out because you signed in {} ago, and a sign-in lasts only so long.",
}


def reason_in_history(reason: str, lasted: timedelta | None = None, *, of_many: bool = False) -> str:
    """A sentence without a full stop, for a list. Reasons are an open set: an unknown one is not invented.

    `lasted` is how long what ended by time was unused or lived (`idp.sessions.why.how_long`); `of_many`: several
    things ended at once.
    """
    if of_many:
        return _HISTORY_OF_MANY.get(reason) or _HISTORY.get(reason, "They were ended")
    if lasted and reason in _HISTORY_LASTED:
        return _HISTORY_LASTED[reason].format(rough_length(lasted))
    return _HISTORY.get(reason, "It was ended")


def reason_at_sign_in(why: WhyEnded | None) -> str | None:
    """A whole sentence for the sign-in page, or None when there is nothing to say."""
    if why is None:
        return None
    if why.lasted and why.reason in _AT_SIGN_IN_LASTED:
        return _AT_SIGN_IN_LASTED[why.reason].format(rough_length(why.lasted))
    return _AT_SIGN_IN.get(why.reason, "You were signed out.")
