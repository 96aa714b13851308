"""The logout desk: RP-initiated logout, our own "Sign out", the receipt, and the sender of back-channel notices.

Serves OpenID Connect RP-Initiated Logout 1.0, Back-Channel Logout 1.0 and, as far as a browser can be asked,
Front-Channel Logout 1.0. What ends is decided by the cookie and written by `idp.sessions.end`; nobody is redirected
to an address that is not registered, character by character.
"""

from idp.logout import receipt_page, routes
from idp.logout.desk import blueprint

__all__ = ["blueprint", "receipt_page", "routes"]
