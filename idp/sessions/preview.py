"""What an end would end: counts, names, and which applications cannot be told (lesson 21). Reads only.

The condition that is previewed here is the one that `idp.sessions.selection` ends by, so that the question and the deed
mean the same sessions. Expired ones that no sweep has written down yet are not counted: nothing of them is left to end.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, or_, select

from idp.db.aliases import shared_alias
from idp.db.engine import Tx
from idp.db.models import Client, Session, SessionClient, SessionKind
from idp.sessions.part_lifetimes import is_part_live
from idp.sessions.policy import SessionPolicy, is_live

MAXIMUM_PREVIEWED_APPLICATIONS = 100
MAXIMUM_PREVIEWED_SESSIONS = 20
_APP = shared_alias(Client)


@dataclass(frozen=True)
class ApplicationPreview:
    """A client that takes part in what would end, and whether it can be told.

    `is_asked_here`: it can't, but this browser can be asked to open its front-channel address.
    """

    name: str
    can_be_told: bool
    is_asked_here: bool = False


@dataclass(frozen=True)
class SessionPreview:
    """One session that would end: what it takes to name it."""

    kind: SessionKind
    device_name: str
    os_name: str
    agent_name: str
    label: str
    client_name: str | None
    started_at: datetime


@dataclass(frozen=True)
class EndPreview:
    """What would end. `sessions` are the latest used ones, at most `MAXIMUM_PREVIEWED_SESSIONS`."""

    browsers: int
    apps: int
    applications: tuple[ApplicationPreview, ...]
    sessions: tuple[SessionPreview, ...] = ()


def preview_end(
    tx: Tx,
    *,
    user_id: str,
    which: ColumnElement[bool],
    now: datetime,
    policy: SessionPolicy,
    named: bool = False,
    acting_session_id: str | None = None,
) -> EndPreview:
    """What ending the sessions that match would end. Two statements; one more to name the sessions.

    `acting_session_id` is the session of the browser at hand: its applications may be asked through it.
    """
    ends = and_(Session.user_id == user_id, which, is_live(now, policy, client=_APP))
    counts = _counts(tx, ends)
    sessions: list[Any] = []
    if named:
        sessions = list(
            tx.execute(
                select(
                    Session.kind,
                    Session.device_name,
                    Session.os_name,
                    Session.agent_name,
                    Session.label,
                    _APP.name,
                    Session.started_at,
                )
                .outerjoin(_APP, _APP.id == Session.client_id)
                .where(ends)
                .order_by(Session.kind.desc(), Session.last_active_at.desc(), Session.id.desc())
                .limit(MAXIMUM_PREVIEWED_SESSIONS)
            )
        )
    return EndPreview(
        browsers=counts.get(SessionKind.BROWSER, 0),
        apps=counts.get(SessionKind.APP, 0),
        applications=_applications(tx, ends, acting_session_id),
        sessions=tuple(SessionPreview(*row) for row in sessions),
    )


def preview_end_everything(
    tx: Tx,
    *,
    user_id: str,
    except_session_id: str | None,
    now: datetime,
    policy: SessionPolicy,
    keep_apps: bool = False,
    acting_session_id: str | None = None,
) -> EndPreview:
    """What "sign out everywhere", "everywhere else" or, with `keep_apps`, "in all browsers" would end."""
    return preview_end(
        tx,
        user_id=user_id,
        which=everything_but(except_session_id, keep_apps=keep_apps),
        now=now,
        policy=policy,
        acting_session_id=acting_session_id,
    )


def preview_end_client(tx: Tx, *, user_id: str, client_id: str, now: datetime, policy: SessionPolicy) -> EndPreview:
    """Where one application has access: `browsers` in which it takes part (they go on), `apps` of its own that end."""
    takes_part = exists(
        select(SessionClient.id)
        .join(Client, Client.id == SessionClient.client_id)
        .where(
            SessionClient.session_id == Session.id,
            SessionClient.client_id == client_id,
            SessionClient.ended_at.is_(None),
            is_part_live(now),
        )
        .correlate(Session)
    )
    counts = _counts(
        tx,
        and_(
            Session.user_id == user_id,
            or_(Session.client_id == client_id, takes_part),
            is_live(now, policy, client=_APP),
        ),
    )
    name, can_be_told = tx.execute(
        select(Client.name, Client.backchannel_logout_uri.is_not(None)).where(Client.id == client_id)
    ).one()
    return EndPreview(
        browsers=counts.get(SessionKind.BROWSER, 0),
        apps=counts.get(SessionKind.APP, 0),
        applications=(ApplicationPreview(name, bool(can_be_told)),),
    )


def everything_but(session_id: str | None, *, keep_apps: bool = False) -> ColumnElement[bool]:
    """SQL: every session but this one; with `keep_apps`, only browsers."""
    others: ColumnElement[bool] = Session.id != session_id if session_id else literal(True)
    return and_(others, Session.kind == SessionKind.BROWSER) if keep_apps else others


def _counts(tx: Tx, ends: ColumnElement[bool]) -> dict[SessionKind, int]:
    rows = tx.execute(
        select(Session.kind, func.count())
        .outerjoin(_APP, _APP.id == Session.client_id)
        .where(ends)
        .group_by(Session.kind)
    )
    return {row[0]: row[1] for row in rows}


def _applications(tx: Tx, ends: ColumnElement[bool], acting_session_id: str | None) -> tuple[ApplicationPreview, ...]:
    asked = and_(Client.frontchannel_logout_uri.is_not(None), SessionClient.session_id == acting_session_id)
    rows = tx.execute(
        select(Client.name, Client.backchannel_logout_uri.is_not(None), func.max(case((asked, 1), else_=0)))
        .join(SessionClient, SessionClient.client_id == Client.id)
        .join(Session, Session.id == SessionClient.session_id)
        .outerjoin(_APP, _APP.id == Session.client_id)
        .where(SessionClient.ended_at.is_(None), ends)
        .group_by(Client.id, Client.name, Client.backchannel_logout_uri)
        .order_by(Client.name, Client.id)
        .limit(MAXIMUM_PREVIEWED_APPLICATIONS)
    )
    return tuple(ApplicationPreview(name, bool(told), is_asked_here=bool(asked)) for name, told, asked in rows)
