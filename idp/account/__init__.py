"""The account desk: /account. Where am I signed in, who has access, and ending either.

Shows what the rooms below say, and calls their one path to end things. Ending never asks for a fresh sign-in: whoever
wants less access gets it.
"""

from idp.account import applications, choosing, ending, one_session, signed_in_devices
from idp.account.desk import blueprint

__all__ = ["applications", "blueprint", "choosing", "ending", "one_session", "signed_in_devices"]
