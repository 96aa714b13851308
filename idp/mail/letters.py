"""What our mail says: plain words, what happened, what was done, what to do next; no secret, no tracking, no HTML."""

import textwrap
from dataclasses import dataclass
from datetime import datetime

from idp.settings import Settings

_WIDTH = 76  # RFC 5322 §2.1.1: no more than 78, and a quote takes two


@dataclass(frozen=True)
class Letter:
    """A message before it has a recipient. `kind` names it for operators."""

    kind: str
    subject: str
    body: str


def signed_out(*, why: str, browsers: int, apps: int, now: datetime, settings: Settings) -> Letter:
    """The notice that sessions ended by more than the person's own hand on one of them. `why` is a clause."""
    counted = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in ((browsers, "browser", "browsers"), (apps, "app or tool", "apps and tools"))
        if count
    ]
    return Letter(
        kind="signed_out",
        subject="You were signed out",
        body=f"""\
You were signed out of {" and ".join(counted)} at {now:%H:%M} UTC on {now.day} {now:%B %Y}.

Why: {why}.

If you did this or expected it, nothing else is needed: sign in again where you want to. If not, look at what
happened in your account, and ask the people who run this service:
  {settings.url("/account/activity")}

This message asks for no password and has no link that signs you in.
""",
    )


def old_token_used(*, client_name: str, is_app: bool, now: datetime, settings: Settings) -> Letter:
    """The notice that an old copy of a refresh token was used and the app was signed out (design §5, *reuse*)."""
    name = " ".join(client_name.split()) or "An application"
    where = "on one of your devices" if is_app else "in one of your browsers"
    return Letter(
        kind="old_token_used",
        subject=f"{name} was signed out to be safe",
        body=f"""\
{paragraph(f"{name} was signed out {where} at {now:%H:%M} UTC on {now.day} {now:%B %Y}.")}

Why: an old copy of its sign-in was used. That happens when an app is
restored from a back-up or copied to another machine. It can also mean that
somebody stole a copy. We cannot tell which, so we ended it.

What you can do:
{paragraph(f"- If you know the reason, sign in to {name} again. Nothing else is needed.", hanging="  ")}
- If you do not, look at where you are signed in, and sign out everywhere:
  {settings.url("/account/sessions")}

Your other apps and browsers stay signed in. This message asks for no
password and has no link that signs you in.
""",
    )


def password_changed(*, now: datetime, settings: Settings) -> Letter:
    """The notice that the person's password was changed on the account page (NIST SP 800-63B §4.6)."""
    when = f"{now:%H:%M} UTC on {now.day} {now:%B %Y}"
    return Letter(
        kind="password_changed",
        subject="Your password was changed",
        body=f"""\
{paragraph(f"Your password was changed at {when}, by somebody who knew the old one.")}
You were signed out in your other browsers.

If that was you, nothing else is needed. If it was not, tell the people who run
this service at once; what happened in your account is listed here:
  {settings.url("/account/activity")}

This message asks for no password and has no link that signs you in.
""",
    )


def paragraph(text: str, *, hanging: str = "") -> str:
    """Lines that no mail program has to break, but for words that are longer than a line."""
    return textwrap.fill(text, _WIDTH, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def too_many_copies(*, client_name: str, count: int, now: datetime, settings: Settings) -> Letter:
    """The notice that a new sign-in with an app ended older ones, because only so many copies are kept (lesson 17)."""
    name = " ".join(client_name.split()) or "An application"
    older = "Its oldest sign-in was ended" if count == 1 else f"Its {count} oldest sign-ins were ended"
    return Letter(
        kind="too_many_copies",
        subject=f"An older sign-in of {name} was ended",
        body=f"""\
You signed in with {name} once more, at {now:%H:%M} UTC on {now.day} {now:%B %Y}.

{older}: of one app, only so many sign-ins are kept, and those that were not used for the longest
time go first. Nothing is wrong, unless you did not sign in then.

What you can do:
- If a copy of {name} asks you to sign in again, do so.
- See where you are signed in, and sign out what you do not know:
  {settings.url("/account/sessions")}

This message asks for no password and has no link that signs you in.
""",
    )
