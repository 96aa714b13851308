"""Session records: starting, finding live, touching, ending, listing.

Owns what a session is and the one path by which it ends. Refuses to know HTTP, cookies' names or OAuth messages.
"Session" means a sign-in here and nowhere a database handle, which is `tx`.
"""

from idp.sessions.cap import end_surplus, lock_surplus
from idp.sessions.census import count_people_of_client, forget_devices
from idp.sessions.devices import ApprovedIn, DeviceRow, DevicesPage, EndedRow, list_devices
from idp.sessions.end import Actor, Ended, end_everything, end_sessions
from idp.sessions.end_client import end_client_everywhere, end_client_for_user, end_participation
from idp.sessions.find import CurrentSession, find_current, renew_secret, touch
from idp.sessions.live import LiveSession, UsedApplication, find_live_session, rename_session
from idp.sessions.mass_end import MassEnd, count_people, end_next_people
from idp.sessions.part_lifetimes import computed_part_end, is_part_live
from idp.sessions.part_sweep import end_overdue_part, sweep_parts, tighten_part_hints
from idp.sessions.participations import Participation, SidOwner, find_sid, join
from idp.sessions.policy import REFRESH_TOUCH_INTERVAL, SessionPolicy, is_live
from idp.sessions.preview import (
    ApplicationPreview,
    EndPreview,
    SessionPreview,
    preview_end,
    preview_end_client,
    preview_end_everything,
)
from idp.sessions.receipt import Frame, Receipt, ReceiptApplication, find_own_receipt, find_receipt
from idp.sessions.selection import chosen, end_chosen, tools_of, unused_since
from idp.sessions.sign_in_again import end_older_of_client, end_older_of_user
from idp.sessions.start import (
    Device,
    LockedUser,
    SignInRefused,
    StartedSession,
    lock_user,
    start_app_session,
    start_browser_session,
)
from idp.sessions.sweep import sweep, tighten_hints

__all__ = [
    "REFRESH_TOUCH_INTERVAL",
    "Actor",
    "ApplicationPreview",
    "ApprovedIn",
    "CurrentSession",
    "Device",
    "DeviceRow",
    "DevicesPage",
    "EndPreview",
    "Ended",
    "EndedRow",
    "Frame",
    "LiveSession",
    "LockedUser",
    "MassEnd",
    "Participation",
    "Receipt",
    "ReceiptApplication",
    "SessionPolicy",
    "SessionPreview",
    "SidOwner",
    "SignInRefused",
    "StartedSession",
    "UsedApplication",
    "chosen",
    "computed_part_end",
    "count_people",
    "count_people_of_client",
    "end_chosen",
    "end_client_everywhere",
    "end_client_for_user",
    "end_everything",
    "end_next_people",
    "end_older_of_client",
    "end_older_of_user",
    "end_overdue_part",
    "end_participation",
    "end_sessions",
    "end_surplus",
    "find_current",
    "find_live_session",
    "find_own_receipt",
    "find_receipt",
    "find_sid",
    "forget_devices",
    "is_live",
    "is_part_live",
    "join",
    "list_devices",
    "lock_surplus",
    "lock_user",
    "preview_end",
    "preview_end_client",
    "preview_end_everything",
    "rename_session",
    "renew_secret",
    "start_app_session",
    "start_browser_session",
    "sweep",
    "sweep_parts",
    "tighten_hints",
    "tighten_part_hints",
    "tools_of",
    "touch",
    "unused_since",
]
