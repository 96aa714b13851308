"""Letters about what the people who run the service did to an account: closed, opened, deleted, given a password.

Somebody whose account was taken over, or closed by mistake, hears of it where they can do something (NIST SP 800-63B
§4.6). Nothing in them opens anything, and nothing in them is a secret; a password set for somebody is never in a mail.
"""

from datetime import datetime

from idp.mail.letters import HARMLESS, Letter, moment, wrapped
from idp.settings import Settings


def account_closed(*, now: datetime, settings: Settings) -> Letter:
    """The notice that the account was disabled. Without an address of ours: none would open."""
    text = f"""
{_what_happened(settings, "was closed for a time", now)}

You are signed out everywhere, and can't sign in until they open it again. Nothing of your account is deleted.

If you did not expect this, ask them.

{HARMLESS}
"""
    return Letter(kind="account_closed", subject="Your account was closed for a time", body=wrapped(text))


def account_opened(*, now: datetime, settings: Settings) -> Letter:
    """The notice that a disabled account may be used again."""
    text = f"""
{_what_happened(settings, "was opened again", now)}

You can sign in as before. What was signed out stays signed out: sign in again where you want to, with apps and tools
too. What happened in your account is listed here:
  {settings.url("/account/activity")}

{HARMLESS}
"""
    return Letter(kind="account_opened", subject="Your account is open again", body=wrapped(text))


def account_deleted(*, now: datetime, settings: Settings) -> Letter:
    """The last message to somebody whose account was wiped: to the address that is forgotten with it."""
    text = f"""
{_what_happened(settings, "was deleted", now)}

You are signed out everywhere. Your names, your e-mail address and your password are wiped here, and no application has
access any more. Applications that you used may keep what you left with them: ask them.

If you did not expect this, tell the people who run this service. It can't be undone.

This is our last message to you: your address is forgotten when it is sent. It asks for no password and has no link that
signs you in.
"""
    return Letter(kind="account_deleted", subject="Your account was deleted", body=wrapped(text))


def password_set_for_you(*, is_signed_out: bool, now: datetime, settings: Settings) -> Letter:
    """The notice that an administrator set the password. It never says which."""
    text = f"""
{_what_happened(settings, "was given another password", now)}

The one before works no more.{" You were signed out everywhere." if is_signed_out else ""}

If you asked for it, they tell you the new one: change it after you signed in.
  {settings.url("/account/password")}

If you did not, ask them at once, and look at what happened in your account:
  {settings.url("/account/activity")}

{HARMLESS}
"""
    return Letter(kind="password_set_for_you", subject="You were given another password", body=wrapped(text))


def _what_happened(settings: Settings, what: str, now: datetime) -> str:
    here = settings.issuer_origin.partition("://")[2]
    return f"Your account at {here} {what}, at {moment(now)}, by the people who run this service."
