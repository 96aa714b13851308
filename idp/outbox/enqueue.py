"""Writing notices: one delivery per ended participation, with a snapshot of everything that it takes to send it.

Called inside the transaction that ends sessions, and only there: an end without its notices, or notices without an
end, can't be committed (I4). The snapshot makes later changes to the client, even its deletion, irrelevant. Nothing
here decides who deserves to be told: a client without an address gets a row too, so that the receipt can say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select, text

from idp.db.bulk import insert_rows
from idp.db.engine import Tx
from idp.db.listed import is_listed
from idp.db.models import Client, DeliveryState, LogoutDelivery, User
from idp.db.models.clients import ClientOrigin
from idp.db.once import run
from idp.kit.host_limits import host_of
from idp.kit.identifiers import new_identifiers, shard_key_in
from idp.outbox.logout_reason import logout_reason_of

NOTIFY_CHANNEL = "idp_outbox"
# Delivered by PostgreSQL at commit, never before it and never without it.
_WAKE_WORKERS = text(f"SELECT pg_notify('{NOTIFY_CHANNEL}', '')")
# What the snapshot takes of each client, and the person's `sub` beside it: registration admits no other subject type
# than `public`, so all of them know the person by the same.
_CLIENTS = (
    select(
        Client.id,
        Client.name,
        Client.backchannel_logout_uri,
        Client.frontchannel_logout_uri,
        Client.origin,
        Client.id_token_signed_response_alg,
        Client.wants_logout_reason,
        User.sub,
    )
    .join(User, User.id == bindparam("user"))
    .where(is_listed(Client.id, "clients"))
)

_DELIVERIES = LogoutDelivery.metadata.tables[LogoutDelivery.__tablename__]


class EndedParticipation(NamedTuple):
    """A client's participation that has just ended, and its `sid` as that client knows it."""

    session_id: str
    client_id: str
    sid: str


@dataclass(frozen=True)
class Written:
    """How many notices wait for a worker, and how many the browser that signed out shall be asked to carry."""

    pending: int = 0
    frontchannel: int = 0


def enqueue(
    tx: Tx,
    *,
    event_id: str,
    user_id: str,
    ended: Sequence[EndedParticipation],
    acting_session_id: str | None,
    now: datetime,
    reason: str = "",
) -> Written:
    """Write one delivery per ended participation and wake the workers when this transaction commits.

    Those that are not pending belong to clients that registered no back-channel address. `acting_session_id` is the
    browser session whose browser is at hand: it alone can be asked to open front-channel addresses. `reason` is an
    `EndReason`, kept in coarse words for the applications that registered for it. Raises
    `LookupError` for an unknown client: a participation without its client is a broken assumption.
    """
    if not ended:
        return Written()
    clients = _find_clients(tx, user_id, {participation.client_id for participation in ended})
    said = logout_reason_of(reason)
    identifiers = new_identifiers(shard_key_in(user_id), now, len(ended))
    rows: list[dict[str, Any]] = []
    for identifier, participation in zip(identifiers, ended, strict=True):
        client = clients[participation.client_id]
        uri = client.backchannel_logout_uri
        rows.append(
            {
                "id": identifier,
                "session_id": participation.session_id,
                "client_id": client.id,
                "client_name": client.name,
                "uri": uri,
                # Front-Channel Logout §2: only a browser that holds the application's cookies is of use.
                "frontchannel_uri": client.frontchannel_logout_uri
                if participation.session_id == acting_session_id
                else None,
                "host": host_of(uri) if uri else "",
                "operator_registered": client.origin is ClientOrigin.OPERATOR,
                "audience": client.id,
                "sid": participation.sid,
                # Back-Channel Logout §2.4: signed like the client's ID tokens.
                "algorithm": client.id_token_signed_response_alg,
                "logout_reason": said if client.wants_logout_reason else None,
                "state": DeliveryState.PENDING if uri else DeliveryState.CANNOT_BE_TOLD,
                "settled_at": None if uri else now,
            }
        )
    insert_rows(
        tx,
        _DELIVERIES,
        rows,
        same={
            "event_id": event_id,
            "sub": clients[ended[0].client_id].sub,
            "ended_at": now,
            "attempts": 0,
            "refusals": 0,
            "next_attempt_at": now,
            "created_at": now,
        },
    )
    pending = len([row for row in rows if row["uri"]])
    if pending and tx.get_bind().dialect.name == "postgresql":
        run(tx, _WAKE_WORKERS, {})
    return Written(pending, len([row for row in rows if row["frontchannel_uri"]]))


def _find_clients(tx: Tx, user_id: str, client_ids: set[str]) -> dict[str, Row[Any]]:
    asked = {"user": user_id, "clients": list(client_ids)}
    found = {client.id: client for client in run(tx, _CLIENTS, asked).all()}
    if missing := client_ids - found.keys():
        raise LookupError(f"no such client: {', '.join(sorted(missing))}")
    return found
