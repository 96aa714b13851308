"""This application's own sessions: who is signed in here, and which logout notices were received.

A session lives on the server and the browser holds only a random handle, because a logout notice comes from the
provider's server, where there is no cookie to delete.
"""

import hashlib
import json
import secrets
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from examples.relying_party.database import Database
from examples.relying_party.logout_token import CLOCK_SKEW_SECONDS, LogoutNotice

SESSION_SECONDS = 12 * 3600
REMEMBERED_SECONDS = 7 * 86400  # how long an ended session can still say why it ended

# Both identifiers must fit when both are given (Back-Channel Logout §2.6); a session that began after the end is new.
_MEANT_BY_NOTICE = "coalesce(sid = :sid, :sid IS NULL) AND coalesce(sub = :sub, :sub IS NULL) AND issued_at <= :until"


class EndedBy(StrEnum):
    """Who ended a session."""

    PERSON = "person"
    PROVIDER = "provider"
    TIME = "time"


@dataclass(frozen=True)
class SignIn:
    """What the provider told us about somebody who signed in. `issued_at`: the ID token's `iat`, by its clock."""

    sub: str
    sid: str | None
    claims: dict[str, Any]
    issued_at: float
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


@dataclass(frozen=True)
class Session:
    """One session here, live or ended. An ended one has no tokens any more."""

    sub: str
    sid: str | None
    claims: dict[str, Any]
    started_at: float
    ended_at: float | None
    ended_by: EndedBy | None
    form_token: str = field(repr=False)
    id_token: str | None = field(repr=False)
    access_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)

    @property
    def is_live(self) -> bool:
        return self.ended_at is None


class Sessions:
    """Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, sign_in: SignIn, *, now: float) -> str | None:
        """A new session's handle, for the cookie; None when the provider has ended it already.

        A logout notice can overtake the sign-in that it is about: the notice then finds no session to end, and without
        this check the sign-in would leave one behind that nobody ends any more.
        """
        handle = secrets.token_urlsafe(32)
        row = {"sid": sign_in.sid, "sub": sign_in.sub, "issued_at": sign_in.issued_at}
        with self._database.transaction() as tx:
            self._forget_old(tx, now)
            overtaken = tx.execute(
                "SELECT 1 FROM notice WHERE coalesce(sid = :sid, sid IS NULL) AND coalesce(sub = :sub, sub IS NULL)"
                " AND until >= :issued_at",
                row,
            ).fetchone()
            if overtaken:
                return None
            tx.execute(
                "INSERT INTO session (handle_hash, sub, sid, claims, id_token, access_token, refresh_token, form_token,"
                " issued_at, started_at) VALUES (:handle_hash, :sub, :sid, :claims, :id_token, :access_token,"
                " :refresh_token, :form_token, :issued_at, :started_at)",
                row
                | {
                    "handle_hash": _hash(handle),
                    "claims": json.dumps(sign_in.claims),
                    "id_token": sign_in.id_token,
                    "access_token": sign_in.access_token,
                    "refresh_token": sign_in.refresh_token,
                    "form_token": secrets.token_urlsafe(16),
                    "started_at": now,
                },
            )
        return handle

    def find(self, handle: str | None, *, now: float) -> Session | None:
        """The session of a cookie, also when it has ended, so that the page can say why."""
        if not handle:
            return None
        with self._database.transaction() as tx:
            row = tx.execute("SELECT * FROM session WHERE handle_hash = ?", (_hash(handle),)).fetchone()
        return _session_of(row, now) if row else None

    def end(self, handle: str, by: EndedBy, *, now: float) -> None:
        """End one session, unless it has ended before."""
        with self._database.transaction() as tx:
            _end(tx, "handle_hash = :handle_hash", {"handle_hash": _hash(handle)}, by, now)

    def end_as_notified(self, notice: LogoutNotice, *, now: float) -> int | None:
        """End what a logout token names: how many sessions that was, or None when its `jti` was seen before."""
        with self._database.transaction() as tx:
            fresh = tx.execute(
                "INSERT INTO notice (jti, sid, sub, until, received_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (notice.jti, notice.sid, notice.sub, _until(notice), now),
            ).rowcount
            if not fresh:
                return None
            meant = {"sid": notice.sid, "sub": notice.sub, "until": _until(notice)}
            return _end(tx, _MEANT_BY_NOTICE, meant, EndedBy.PROVIDER, now)

    def replace_tokens(self, handle: str, *, access_token: str, refresh_token: str | None) -> bool:
        """Keep refreshed tokens; False, and nothing kept, when the session ended in the meantime."""
        with self._database.transaction() as tx:
            changed = tx.execute(
                "UPDATE session SET access_token = ?, refresh_token = coalesce(?, refresh_token)"
                " WHERE handle_hash = ? AND ended_at IS NULL",
                (access_token, refresh_token, _hash(handle)),
            ).rowcount
        return changed == 1

    def _forget_old(self, tx: sqlite3.Connection, now: float) -> None:
        tx.execute("DELETE FROM session WHERE started_at < ?", (now - SESSION_SECONDS - REMEMBERED_SECONDS,))
        tx.execute("DELETE FROM notice WHERE received_at < ?", (now - REMEMBERED_SECONDS,))


def _until(notice: LogoutNotice) -> float:
    """The latest `iat` of ID tokens whose sessions are meant.

    A `sid` is never given twice, so servers whose clocks differ a little may not save a session from its end. A `sub`
    comes back with the next sign-in, which a late notice must not end.
    """
    return notice.ended_at + (CLOCK_SKEW_SECONDS if notice.sid else 0)


def _end(tx: sqlite3.Connection, condition: str, values: dict[str, Any], by: EndedBy, now: float) -> int:
    """Ends the live sessions that meet `condition` (a constant of this module) and drops their tokens."""
    statement = f"""
        UPDATE session SET ended_at = :now, ended_by = :by, id_token = NULL, access_token = NULL, refresh_token = NULL
        WHERE ended_at IS NULL AND {condition}"""  # noqa: S608 - no outside text is in it
    return tx.execute(statement, {**values, "now": now, "by": by}).rowcount


def _session_of(row: sqlite3.Row, now: float) -> Session:
    columns = dict(row)
    columns["claims"] = json.loads(columns["claims"])
    columns["ended_by"] = EndedBy(columns["ended_by"]) if columns["ended_by"] else None
    expires_at = columns["started_at"] + SESSION_SECONDS
    if columns["ended_at"] is None and expires_at <= now:
        columns |= {"ended_at": expires_at, "ended_by": EndedBy.TIME}
        columns |= {"id_token": None, "access_token": None, "refresh_token": None}
    for name in ("handle_hash", "issued_at"):
        del columns[name]
    return Session(**columns)


def _hash(handle: str) -> str:
    """What is stored of a handle: somebody who reads the database must not be able to use the sessions in it."""
    return hashlib.sha256(handle.encode()).hexdigest()
