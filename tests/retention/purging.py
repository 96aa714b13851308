"""What tests of purging share: one run of it, what it would find, and rows that are old enough."""

from typing import Any

from sqlalchemy import func, select

from idp.db.engine import Database
from idp.db.models import (
    DeliveryState,
    LogoutDelivery,
    StoredRequestKind,
)
from idp.retention import KINDS, purge_batch
from idp.web import stored_requests
from tests.support.heart import Heart


def purge(heart: Heart, *, limit: int = 200, database: Database | None = None) -> dict[str, int]:
    """Everything that is due, as the worker and the command do it; how many of each kind."""
    gone = {}
    for kind in KINDS:
        gone[kind.name] = 0
        while True:
            with (database or heart.database).transaction() as tx:
                batch = purge_batch(tx, kind, settings=heart.settings, now=heart.now, limit=limit)
            assert batch <= limit or kind.name == "signing_keys"
            if not batch:
                break
            gone[kind.name] += batch
    return gone


def due(heart: Heart) -> dict[str, int]:
    with heart.database.reading() as tx:
        return {kind.name: kind.count(tx, heart.now, heart.settings) for kind in KINDS}


def count(heart: Heart, *models: Any) -> list[int]:
    with heart.database.reading() as tx:
        return [tx.scalars(select(func.count()).select_from(model)).one() for model in models]


def settle_notices(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        for row in tx.scalars(select(LogoutDelivery)):
            row.state, row.settled_at = DeliveryState.TOLD, heart.now


def put_aside(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        stored_requests.store(
            tx,
            kind=StoredRequestKind.AUTHORIZE,
            client_id=None,
            parameters={},
            browser="b",
            now=heart.now,
            settings=heart.settings,
        )


def crowd(heart: Heart, people: int) -> None:
    """People whose browser session approved a tool, all of it ended."""
    client = heart.client()
    for _ in range(people):
        person = heart.person()
        session = heart.sign_in(person)
        heart.tokens_for(session, client)
        heart.tokens_for(session, client, "openid offline_access")
        heart.end_everything(person)
    settle_notices(heart)
