"""How many people an end will concern, for the progress bar of an end in batches; and what an account's end wipes."""

from sqlalchemy import Select, func, select, update

from idp.db.engine import Tx
from idp.db.models import AuthorizationCode, Session, SessionClient


def count_people_of_client(tx: Tx, *, client_id: str) -> int:
    """How many people `end_client_everywhere` has still to go through."""
    return tx.scalars(
        select(func.count(Session.user_id.distinct()))
        .join(SessionClient, SessionClient.session_id == Session.id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), Session.ended_at.is_(None))
    ).one()


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
