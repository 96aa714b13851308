"""The logout desk: RP-initiated logout, our own "Sign out", the receipt, and the sender of back-channel notices.

Serves OpenID Connect RP-Initiated Logout 1.0 and Back-Channel Logout 1.0. What ends is decided by the cookie and
written by `idp.sessions.end`; nobody is ever redirected to an address that is not registered, character by character.
"""

from idp.logout.routes import blueprint

__all__ = ["blueprint"]
