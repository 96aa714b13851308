"""Notices in any state, without the story that would lead there."""

from datetime import timedelta
from typing import Any

from idp.db.models import Client, DeliveryState, LogoutDelivery
from tests.support.heart import Heart

MINUTE = timedelta(minutes=1)


def notices(heart: Heart, *changes: dict[str, Any]) -> tuple[Client, list[str]]:
    """An application with as many notices, and their identifiers, which grow. What is not given is as if just written.

    Moments are given in minutes from now.
    """
    client, person = heart.client(backchannel_logout_uri="https://rp.example/out"), heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    [written] = heart.all(LogoutDelivery, LogoutDelivery.client_id == client.id)
    common = {column.key: getattr(written, column.key) for column in LogoutDelivery.__table__.columns}
    ids = []
    with heart.database.transaction() as tx:
        tx.delete(tx.get(LogoutDelivery, written.id))
        for number, change in enumerate(changes):
            moments = {name: heart.now + given * MINUTE for name, given in change.items() if name.endswith("_at")}
            ids.append(written.id[:-4] + f"{number:03d}0")
            row = {**common, "id": ids[-1], **change, **moments}
            if row["state"] is not DeliveryState.PENDING and row["settled_at"] is None:
                row["settled_at"] = heart.now
            tx.add(LogoutDelivery(**row))
    return client, ids
