"""Whoever touches several sessions of a person locks them by id, the one that goes on included (design §9)."""

import threading
import time
from functools import partial
from typing import Any

from sqlalchemy import text

from idp import sessions
from idp.db.engine import Database
from idp.db.models import Client, EndReason, Session, User
from idp.sessions import Actor
from tests.support.heart import Heart

# Of this database alone: other tests share the server.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def test_everywhere_else_and_a_withdrawn_consent_at_once_do_not_deadlock(heart: Heart) -> None:
    client, person = heart.client(), heart.person()
    kept, other = sorted((heart.sign_in(person), heart.sign_in(person)), key=lambda started: started.session_id)
    for started in (kept, other):
        heart.tokens_for(started, client)
    node = heart.open_database()
    outcome: list[Any] = []

    with heart.database.transaction() as tx:
        _end_others(heart, tx, person, kept.session_id)
        withdrawing = threading.Thread(target=partial(_withdraw, heart, node, person, client, outcome))
        withdrawing.start()
        _until_somebody_waits(heart)
        sessions.renew_secret(tx, session_id=kept.session_id, now=heart.now, keep_previous=False)
    withdrawing.join(30)

    assert [type(one).__name__ for one in outcome] == ["Ended"]
    live = heart.all(Session, Session.user_id == person.id, Session.ended_at.is_(None))
    assert [session.id for session in live] == [kept.session_id]


def _end_others(heart: Heart, tx: Any, person: User, kept: str) -> None:
    sessions.end_everything(
        tx,
        user_id=person.id,
        except_session_id=kept,
        reason=EndReason.SIGNED_OUT_EVERYWHERE_ELSE,
        actor=Actor(),
        settings=heart.settings,
        now=heart.now,
    )


def _withdraw(heart: Heart, node: Database, person: User, client: Client, outcome: list[Any]) -> None:
    try:
        outcome.append(heart.withdraw(person, client, database=node))
    except Exception as error:  # noqa: BLE001 - the test says what came of it
        outcome.append(error)


def _until_somebody_waits(heart: Heart) -> None:
    """PostgreSQL: until the other transaction waits for a lock. SQLite: it waits for the one writer's place anyway."""
    if heart.database.is_sqlite:
        return
    deadline = time.monotonic() + 30
    waiting = text(WAITING)
    while time.monotonic() < deadline:
        with heart.database.reading() as tx:
            if tx.execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")
