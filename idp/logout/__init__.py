"""The logout desk: RP-initiated logout, our own "Sign out", the receipt, the sender of back-channel notices, and the
pages on which developers of applications try how they receive those.

Serves OpenID Connect RP-Initiated Logout 1.0, Back-Channel Logout 1.0 and, as far as a browser can be asked,
Front-Channel Logout 1.0. What ends is decided by the cookie and written by `idp.sessions.end`; nobody is redirected
to an address that is not registered, character by character.
"""

from idp.logout import inspector_page, receipt_page, routes, self_test_page
from idp.logout.desk import blueprint, developers

__all__ = ["blueprint", "developers", "inspector_page", "receipt_page", "routes", "self_test_page"]
