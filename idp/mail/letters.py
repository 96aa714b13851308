"""What our mail says: plain words, what happened, what was done, what to do next; no secret, no tracking, no HTML."""

import textwrap
from dataclasses import dataclass
from datetime import datetime

from idp.settings import Settings

_WIDTH = 76  # RFC 5322 §2.1.1: no more than 78, and a quote takes two
HARMLESS = "This message asks for no password and has no link that signs you in."


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
    text = f"""
You were signed out of {" and ".join(counted)} at {moment(now)}.

Why: {why}.

If you did this or expected it, nothing else is needed: sign in again where you want to. If not, look at what happened
in your account, and ask the people who run this service:
  {settings.url("/account/activity")}

{HARMLESS}
"""
    return Letter(kind="signed_out", subject="You were signed out", body=wrapped(text))


def old_token_used(*, client_name: str, is_app: bool, now: datetime, settings: Settings) -> Letter:
    """The notice that an old copy of a refresh token was used and the app was signed out (design §5, *reuse*)."""
    name = _one_line(client_name)
    text = f"""
{name} was signed out {"on one of your devices" if is_app else "in one of your browsers"} at {moment(now)}.

Why: an old copy of its sign-in was used. That happens when an app is restored from a back-up or copied to another
machine. It can also mean that somebody stole a copy. We cannot tell which, so we ended it.

What you can do:
- If you know the reason, sign in to {name} again. Nothing else is needed.
- If you do not, look at where you are signed in, and sign out everywhere:
  {settings.url("/account/sessions")}

Your other apps and browsers stay signed in. {HARMLESS}
"""
    return Letter(kind="old_token_used", subject=f"{name} was signed out to be safe", body=wrapped(text))


def password_changed(*, now: datetime, settings: Settings) -> Letter:
    """The notice that the person's password was changed on the account page (NIST SP 800-63B §4.6)."""
    text = f"""
Your password was changed at {moment(now)}, by somebody who knew the old one. You were signed out in your other
browsers.

If that was you, nothing else is needed. If it was not, tell the people who run this service at once; what happened in
your account is listed here:
  {settings.url("/account/activity")}

{HARMLESS}
"""
    return Letter(kind="password_changed", subject="Your password was changed", body=wrapped(text))


def too_many_copies(*, client_name: str, count: int, now: datetime, settings: Settings) -> Letter:
    """The notice that a new sign-in with an app ended older ones, because only so many copies are kept (lesson 17)."""
    name = _one_line(client_name)
    older = (
        "The one of its sign-ins that was not used for the longest time was ended"
        if count == 1
        else f"The {count} of its sign-ins that were not used for the longest time were ended"
    )
    text = f"""
You signed in with {name} once more, at {moment(now)}.

{older}, because only so many sign-ins of one app are kept. Nothing is wrong, unless you did not sign in then.

What you can do:
- If a copy of {name} asks you to sign in again, do so.
- See where you are signed in, and sign out what you do not know:
  {settings.url("/account/sessions")}

{HARMLESS}
"""
    return Letter(kind="too_many_copies", subject=f"An older sign-in of {name} was ended", body=wrapped(text))


def moment(now: datetime) -> str:
    """ "14:03 UTC on 21 November 2026"."""
    return f"{now:%H:%M} UTC on {now.day} {now:%B %Y}"


def wrapped(text: str) -> str:
    """Paragraphs and items ("- ") in lines that no mail program has to break; an address, indented, stays whole."""
    blocks: list[str] = []
    for line in text.strip("\n").split("\n"):
        if blocks and line and blocks[-1] and not line.startswith(("- ", "  ")):
            blocks[-1] += f" {line}"
        else:
            blocks.append(line)
    return "".join(f"{block if block.startswith('  ') else _filled(block)}\n" for block in blocks)


def _filled(block: str) -> str:
    hanging = "  " if block.startswith("- ") else ""
    return textwrap.fill(block, _WIDTH, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def _one_line(client_name: str) -> str:
    return " ".join(client_name.split()) or "An application"
