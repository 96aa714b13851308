"""The person's trail in plain words: for every kind of row that concerns a person, one sentence and what to make of it.

A kind without a sentence here is not shown; a test finds every kind that the house writes about people and fails when
one has none. Sentences name the person's own devices and applications, and nothing of anybody else: where another
person was at work (in the same browser), not even the address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from idp.audit.history import HistoryRow
from idp.db.models import EndReason, SessionKind
from idp.kit.identifiers import is_identifier
from idp.sessions.why import how_long
from idp.web.reasons import reason_in_history


class Group(StrEnum):
    """What a history can be narrowed to; the value stands in the address."""

    SIGN_INS = "sign-ins"
    FAILED = "failed"
    APPROVALS = "approvals"
    ENDS = "ends"
    APPS = "apps"
    ACCOUNT = "account"


GROUP_NAMES: dict[Group, str] = {
    Group.SIGN_INS: "Sign-ins",
    Group.FAILED: "Failed attempts",
    Group.APPROVALS: "Approvals",
    Group.ENDS: "What ended",
    Group.APPS: "Apps keeping their access",
    Group.ACCOUNT: "Account",
}


@dataclass(frozen=True)
class Told:
    """A row in words. `note` says what it means or what to do, where that is not plain."""

    what: str
    note: str = ""


@dataclass(frozen=True)
class Activity:
    """One entry of the history, ready to print or export. `more_path`: the page of ours that tells more, or None."""

    id: str
    occurred_at: datetime
    kind: str
    group: Group
    icon: str
    what: str
    note: str
    device: str
    application: str
    ip_address: str
    more_path: str | None


@dataclass(frozen=True)
class _Kind:
    group: Group
    icon: str
    tell: Callable[[HistoryRow], Told]


def shown_activity(row: HistoryRow) -> Activity:
    """A row of one of the `KINDS`, in words."""
    kind = KINDS[row.kind]
    told = kind.tell(row)
    is_of_another = row.details.get("reason") == EndReason.OTHER_PERSON_SIGNED_IN
    return Activity(
        id=row.id,
        occurred_at=row.occurred_at,
        kind=row.kind,
        group=kind.group,
        icon=kind.icon,
        what=told.what,
        note=told.note,
        device=_device(row) if row.session_id or row.agent_name else "",
        application=_application(row, ""),
        ip_address="" if is_of_another else row.ip_address,
        more_path=_more_path(row) if kind.group is Group.ENDS else None,
    )


def _more_path(row: HistoryRow) -> str | None:
    """One session has a page of its own; several have their receipt (as one has whose record is purged)."""
    if row.session_id is not None and row.ended_at is not None:
        return f"/account/sessions/{row.session_id}"
    event = row.details.get("event")
    return f"/account/receipts/{event}" if isinstance(event, str) and is_identifier(event) else None


def kinds_of(group: Group | None) -> frozenset[str]:
    """The kinds of one group, or all that have words."""
    return frozenset(name for name, kind in KINDS.items() if group is None or kind.group is group)


def _told(what: str, note: str = "") -> Callable[[HistoryRow], Told]:
    return lambda row: Told(what.format(app=_application(row)), note.format(app=_application(row)))


def _renamed(row: HistoryRow) -> Told:
    """The name that it got then, which need not be today's. Rows of before names were written down have none."""
    app, name = _application(row, "an app or tool"), row.details.get("label")
    if name == "":
        return Told(f"You gave {app} its usual name back")
    return Told(f"You named {app} “{name}”" if isinstance(name, str) else f"You changed the name of {app}")


def _password_set(row: HistoryRow) -> Told:
    if row.actor == "person":
        return Told("You changed your password")
    return Told("An administrator set your password")


def _allowed(row: HistoryRow) -> Told:
    return Told(f"You allowed {_application(row)} to use your account")


def _ended(row: HistoryRow) -> Told:
    """What ended: one thing by its name, several by their numbers."""
    browsers, apps = _number(row, "browsers"), _number(row, "apps")
    if row.session_id is not None:
        what = f"{_subject(row)} was signed out"
    elif browsers + apps == 1:
        what = f"One {'browser' if browsers else 'app or tool'} was signed out"
    else:
        parts = [words for count, words in ((browsers, _browsers(browsers)), (apps, _apps(apps))) if count]
        what = f"{' and '.join(parts)} were signed out"
    return Told(what, _reason(row, of_many=row.session_id is None and browsers + apps > 1))


def _participation_ended(row: HistoryRow) -> Told:
    return Told(f"{_application(row)} was signed out of your browser sessions", _reason(row))


def _access_given_up(row: HistoryRow) -> Told:
    return Told(f"{_application(row)} lost its access", _reason(row))


def _reason(row: HistoryRow, *, of_many: bool = False) -> str:
    reason = str(row.details.get("reason") or "")
    lasted = None
    if row.started_at is not None and row.last_active_at is not None:
        lasted = how_long(
            reason, started_at=row.started_at, last_active_at=row.last_active_at, ended_at=row.occurred_at
        )
    return reason_in_history(reason, lasted, of_many=of_many)


KINDS: dict[str, _Kind] = {
    "sign_in": _Kind(Group.SIGN_INS, "person", _told("You signed in")),
    "reauthenticated": _Kind(Group.SIGN_INS, "person", _told("You proved again that it is you")),
    "sign_in_refused": _Kind(
        Group.FAILED,
        "warning",
        _told("Somebody tried to sign in with a wrong password", "They were refused, and learned nothing."),
    ),
    "app_signed_in": _Kind(Group.APPROVALS, "terminal", _told("You signed in to {app}, which keeps its own sign-in")),
    "session_renamed": _Kind(Group.APPROVALS, "terminal", _renamed),
    "consent_given": _Kind(Group.APPROVALS, "check", _allowed),
    "consent_withdrawn": _Kind(Group.APPROVALS, "minus", _told("You withdrew the access of {app}")),
    "sessions_ended": _Kind(Group.ENDS, "leave", _ended),
    "participation_ended": _Kind(Group.ENDS, "leave", _participation_ended),
    "token_revoked": _Kind(Group.ENDS, "leave", _access_given_up),
    "access_token_revoked": _Kind(
        Group.APPS, "key", _told("{app} gave up one short-lived access", "It may hold others.")
    ),
    "refresh_skipped": _Kind(
        Group.APPS,
        "clock",
        _told(
            "{app} renewed its access with the key before the last one",
            "An answer of ours got lost, as happens on bad connections. If you did not use it then, sign it out.",
        ),
    ),
    "refresh_reused": _Kind(
        Group.APPS,
        "warning",
        _told(
            "An old copy of the sign-in of {app} was used, so it was signed out",
            "It was restored from a back-up or copied, or somebody stole a copy.",
        ),
    ),
    "refresh_ahead": _Kind(
        Group.APPS,
        "warning",
        _told("{app} showed a sign-in that our records do not know, so it was signed out", "Our records may be older."),
    ),
    "refresh_wrong_client": _Kind(
        Group.APPS,
        "warning",
        _told("Another application showed the sign-in of {app}, and was refused", "Nothing of yours was given to it."),
    ),
    "code_reused": _Kind(
        Group.APPS,
        "warning",
        _told("A sign-in to {app} was used twice, so it was ended", "One of the two was not the application."),
    ),
    "user_created": _Kind(Group.ACCOUNT, "person", _told("Your account was made")),
    "user_disabled": _Kind(Group.ACCOUNT, "warning", _told("Your account was closed for a time")),
    "user_enabled": _Kind(Group.ACCOUNT, "check", _told("Your account was opened again")),
    "user_deleted": _Kind(Group.ACCOUNT, "cross", _told("Your account was deleted")),
    "password_set": _Kind(Group.ACCOUNT, "key", _password_set),
}
"""Every kind of row that concerns a person; the order is that of nothing."""


def _application(row: HistoryRow, unknown: str = "An application") -> str:
    return row.client_name or row.app_name or unknown


def _subject(row: HistoryRow) -> str:
    """What a person calls the session of a row: "Firefox 143 on Linux", "Drydock CLI on Pixel 9"."""
    if row.session_kind is SessionKind.APP:
        name = row.label or row.app_name or row.client_name or "An app or tool"
        return f"{name} on {_place(row)}" if _place(row) and not row.label else name
    return _device(row)


def _device(row: HistoryRow) -> str:
    browser, place = row.agent_name or "Unknown browser", _place(row)
    if row.session_kind is SessionKind.APP:
        return place
    return f"{browser} on {place}" if place else browser


def _place(row: HistoryRow) -> str:
    if row.device_name and row.os_name:
        return f"{row.device_name} ({row.os_name})"
    return row.device_name or row.os_name


def _number(row: HistoryRow, name: str) -> int:
    value: Any = row.details.get(name)
    return value if isinstance(value, int) else 0


def _browsers(count: int) -> str:
    return f"{count:,} browser{'' if count == 1 else 's'}"


def _apps(count: int) -> str:
    return "1 app or tool" if count == 1 else f"{count:,} apps and tools"
