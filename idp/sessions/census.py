"""How many people an end will concern, for the progress bar of an end in batches; and what an account's end wipes."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, select, union, update

from idp.db.engine import Tx
from idp.db.models import AuthorizationCode, Session, SessionClient

# A redemption that began in a code's last moment may commit later than that, and clocks differ by some seconds.
_STILL_UNDER_WAY = timedelta(minutes=5)


def count_people_of_client(tx: Tx, *, client_id: str, now: datetime) -> int:
    """How many people `end_client_everywhere` has still to go through."""
    return tx.scalars(select(func.count()).select_from(people_of_client(client_id, now).subquery())).one()


def people_of_client(client_id: str, now: datetime) -> CompoundSelect[str]:
    """Whose access a client holds: a live participation, or a code that can, or just could, be redeemed for one.

    Codes count because a redemption in flight shows in nothing else: whoever ends what these people have waits at the
    session's row until it has committed.
    """
    takes_part = (
        select(Session.user_id)
        .join(SessionClient, SessionClient.session_id == Session.id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), Session.ended_at.is_(None))
    )
    holds_code = (
        select(Session.user_id)
        .join(AuthorizationCode, AuthorizationCode.session_id == Session.id)
        .where(is_redeemable(client_id, now), Session.ended_at.is_(None))
    )
    return union(takes_part, holds_code)


def is_redeemable(client_id: str, now: datetime) -> ColumnElement[bool]:
    """Whether a code is the client's and can, or just could, be redeemed."""
    return and_(
        AuthorizationCode.expires_at > now - _STILL_UNDER_WAY,
        AuthorizationCode.client_id == client_id,
        AuthorizationCode.used_at.is_(None),
    )


def forget_devices(tx: Tx, *, user_id: str) -> None:
    """Wipe what a deleted person's sessions say of their machines. The sessions have ended before, in this `tx`."""
    nothing = {"device_name": "", "os_name": "", "agent_name": "", "ip_address": ""}
    # Codes by way of the sessions' index; they have none by person.
    tx.execute(
        update(AuthorizationCode)
        .where(AuthorizationCode.session_id.in_(_ended_of(user_id)))
        .values(**nothing)
        .execution_options(synchronize_session=False)
    )
    tx.execute(
        update(Session)
        .where(Session.id.in_(_ended_of(user_id)))
        .values(**nothing, label="")
        .execution_options(synchronize_session=False)
    )


def _ended_of(user_id: str) -> Select[str]:
    return select(Session.id).where(Session.user_id == user_id, Session.ended_at.is_not(None))
