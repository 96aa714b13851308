"""How long sessions live: the one place where "is it still live?" is decided, in SQL and in words.

Ends are computed from today's policy at every check (design §3): nothing stored has to be updated when the policy
changes, and an expired session is dead at once, long before the sweep writes that down. What operators decided at run
time is read inside the statement that asks (docs/adr/0010).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select

from idp import policy as decisions
from idp.clients import ClientTerms
from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.models import Client, EndReason, Session, SessionKind, TokenFamily
from idp.db.types import micros, to_microseconds
from idp.settings import Settings

# Own pages write "last active" at most once a minute, refreshes at most once an hour (design §4).
PAGE_TOUCH_INTERVAL = timedelta(minutes=1)
REFRESH_TOUCH_INTERVAL = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
# Made once: an alias costs SQLAlchemy milliseconds, and every page and every check asks whether a session is live.
_FAMILY, _FAMILY_CLIENT = shared_alias(TokenFamily), shared_alias(Client)


class Timed(NamedTuple):
    """What of a session that is about to start says when it ends by time."""

    kind: SessionKind
    keep_signed_in: bool
    auth_time: datetime
    started_at: datetime


@dataclass(frozen=True)
class SessionPolicy:
    """Lifetimes of sessions for the installation; a client may set its own for its app sessions.

    `of` has the settings alone, which is enough for statements: those look up themselves what was decided at run time.
    Whoever computes in Python asks `today`.
    """

    browser_idle: timedelta
    keep_signed_in_idle: timedelta
    browser_absolute: timedelta
    app_idle: timedelta
    app_absolute: timedelta
    # False: nobody stays signed in for longer, and who does so already follows `browser_idle` from now on.
    keep_signed_in: bool
    # How many live app sessions one person may have of one client; the oldest goes out. 0: as many as they like.
    app_sessions_per_client: int
    # Sessions whose sign-in is older are over.
    sign_in_again_since: datetime | None = None

    @classmethod
    def today(cls, tx: Tx, settings: Settings) -> "SessionPolicy":
        """The policy in force: the settings, with what was decided at run time in their place. One statement."""
        state = decisions.read_in_force(tx, settings)
        return replace(cls.of(state.settings), sign_in_again_since=state.sign_in_again_since)

    @classmethod
    def of(cls, settings: Settings) -> "SessionPolicy":
        """The policy that the settings state."""
        return cls(
            browser_idle=settings.browser_idle_lifetime,
            keep_signed_in_idle=settings.keep_signed_in_idle_lifetime,
            browser_absolute=settings.browser_absolute_lifetime,
            app_idle=settings.app_idle_lifetime,
            app_absolute=settings.app_absolute_lifetime,
            keep_signed_in=settings.keep_signed_in,
            app_sessions_per_client=settings.app_sessions_per_client,
        )

    def idle_lifetime(self, session: Session | Timed, client: Client | ClientTerms | None) -> timedelta:
        """How long this session may lie unused."""
        if session.kind is SessionKind.APP:
            return (client.app_idle_lifetime if client else None) or self.app_idle
        return self.kept_idle if session.keep_signed_in else self.browser_idle

    @property
    def kept_idle(self) -> timedelta:
        """How long a session that is kept signed in may lie unused: no longer than others when nobody may be kept."""
        return self.keep_signed_in_idle if self.keep_signed_in else self.browser_idle

    def absolute_lifetime(self, session: Session | Timed, client: Client | ClientTerms | None) -> timedelta:
        """How long this session may live, however busy."""
        if session.kind is SessionKind.APP:
            return (client.app_absolute_lifetime if client else None) or self.app_absolute
        return self.browser_absolute


@dataclass(frozen=True)
class ComputedEnd:
    """When a session ends by time alone, and why."""

    at: datetime
    reason: EndReason


def computed_end(
    session: Session | Timed, client: Client | ClientTerms | None, *, last_active_at: datetime, policy: SessionPolicy
) -> ComputedEnd:
    """The end that today's policy gives a session whose latest activity, families included, is `last_active_at`."""
    idle_end = last_active_at + policy.idle_lifetime(session, client)
    absolute_end = session.started_at + policy.absolute_lifetime(session, client)
    since = policy.sign_in_again_since
    if since is not None and session.auth_time < since <= min(idle_end, absolute_end):
        return ComputedEnd(since, EndReason.SIGN_IN_AGAIN)
    if absolute_end <= idle_end:
        return ComputedEnd(absolute_end, EndReason.EXPIRED)
    return ComputedEnd(idle_end, EndReason.IDLE)


def first_sweep_at(session: Timed, client: ClientTerms | None, *, policy: SessionPolicy) -> datetime:
    """When the sweep should first look at a session: the earliest moment at which it can have ended by time."""
    return computed_end(session, client, last_active_at=session.started_at, policy=policy).at


def is_live(
    now: datetime | ColumnElement[int], policy: SessionPolicy, *, session: Any = Session, client: Any = None
) -> ColumnElement[bool]:
    """SQL: whether a session is live at `now`: not ended, not idle too long, not past its absolute end.

    `now` is a moment, or a parameter that holds one in microseconds, for a statement that is written once and kept.

    `client` is the app's `Client` joined in the same statement; without it only browser sessions are asked about.
    A session whose own row looks idle is still live when a refresh counted as activity since: the session row is
    touched by refreshes only hourly and in a transaction of its own, so the families know better.
    """
    idle_cutoff, absolute_cutoff = _cutoffs(now, policy, session, client)
    used_since = exists(
        select(_FAMILY.id)
        .join(_FAMILY_CLIENT, _FAMILY_CLIENT.id == _FAMILY.client_id)
        .where(
            _FAMILY.session_id == session.id,
            _FAMILY.revoked_at.is_(None),
            micros(_FAMILY.last_used_at) > idle_cutoff,
            or_(session.kind == SessionKind.APP, _FAMILY_CLIENT.refresh_extends_session),
        )
        .correlate(session, decisions.DECIDED, *([client] if client is not None else []))
    )
    return and_(
        session.ended_at.is_(None),
        micros(session.auth_time) >= _in_force(policy).sign_in_again_since,
        micros(session.started_at) > absolute_cutoff,
        or_(micros(session.last_active_at) > idle_cutoff, used_since),
    )


def _cutoffs(
    now: datetime | ColumnElement[int], policy: SessionPolicy, session: Any, client: Any
) -> tuple[ColumnElement[int], ColumnElement[int]]:
    moment: Any = to_microseconds(now) if isinstance(now, datetime) else now
    lifetimes = _in_force(policy)
    app_idle, app_absolute = lifetimes.app_idle, lifetimes.app_absolute
    if client is not None:
        app_idle = func.coalesce(micros(client.app_idle_lifetime), app_idle)
        app_absolute = func.coalesce(micros(client.app_absolute_lifetime), app_absolute)
    is_app = session.kind == SessionKind.APP
    idle = case((is_app, app_idle), (session.keep_signed_in, lifetimes.kept_idle), else_=lifetimes.browser_idle)
    absolute = case((is_app, app_absolute), else_=lifetimes.browser_absolute)
    return moment - idle, moment - absolute


class _InForce(NamedTuple):
    """What a statement looks up: the decided value, or the setting's. All in microseconds."""

    browser_idle: ColumnElement[int]
    kept_idle: ColumnElement[int]
    browser_absolute: ColumnElement[int]
    app_idle: ColumnElement[int]
    app_absolute: ColumnElement[int]
    sign_in_again_since: ColumnElement[int]


@lru_cache(maxsize=16)
def _in_force(policy: SessionPolicy) -> _InForce:
    def look_up(name: str, default: timedelta) -> ColumnElement[int]:
        return decisions.value_in_force(name, default // _MICROSECOND)

    browser_idle = look_up("browser_idle_lifetime", policy.browser_idle)
    may_keep = decisions.value_in_force("keep_signed_in", int(policy.keep_signed_in)) > 0
    return _InForce(
        browser_idle=browser_idle,
        kept_idle=case(
            (may_keep, look_up("keep_signed_in_idle_lifetime", policy.keep_signed_in_idle)), else_=browser_idle
        ),
        browser_absolute=look_up("browser_absolute_lifetime", policy.browser_absolute),
        app_idle=look_up("app_idle_lifetime", policy.app_idle),
        app_absolute=look_up("app_absolute_lifetime", policy.app_absolute),
        sign_in_again_since=decisions.value_in_force(decisions.SIGN_IN_AGAIN_SINCE, 0),
    )
