"""Bringing the sweep's hints to a shorter policy: in small steps, and in nobody's way."""

import threading
from datetime import timedelta
from functools import partial

from sqlalchemy import text

from idp import sessions
from idp.db.engine import Database
from idp.db.models import EndReason
from idp.sessions import Actor
from tests.support.heart import Heart

# Of this database alone: other tests share the server.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def _tighten(heart: Heart, database: Database, *, limit: int) -> int:
    after: str | None = ""
    steps = 0
    while after is not None:
        with database.transaction() as tx:
            after = sessions.tighten_hints(tx, settings=heart.settings, after=after, limit=limit)
        steps += 1
    return steps


def test_hints_are_tightened_step_by_step_until_every_session_was_looked_at(heart: Heart) -> None:
    person = heart.person()
    started = [heart.sign_in(person, keep_signed_in=True) for _ in range(5)]
    heart.with_settings(keep_signed_in_idle_lifetime=timedelta(days=2))

    steps = _tighten(heart, heart.database, limit=2)

    assert steps == 4  # 2, 2, 1, and the one that finds nothing more
    assert {heart.session(one.session_id).sweep_at for one in started} == {heart.now + timedelta(days=2)}


def test_a_looser_policy_moves_no_hint(heart: Heart) -> None:
    started = heart.sign_in(heart.person())
    before = heart.session(started.session_id).sweep_at
    heart.with_settings(browser_idle_lifetime=timedelta(days=2))

    _tighten(heart, heart.database, limit=2)

    assert heart.session(started.session_id).sweep_at == before


def test_tightening_waits_for_nobody_who_is_ending_a_session(heart: Heart) -> None:
    """In one statement over all sessions it would, and an end of several could wait for it in turn: a deadlock."""
    person = heart.person()
    ending, other = heart.sign_in(person, keep_signed_in=True), heart.sign_in(person, keep_signed_in=True)
    heart.with_settings(keep_signed_in_idle_lifetime=timedelta(days=2))
    node = heart.open_database()
    tightening = threading.Thread(target=partial(_tighten, heart, node, limit=100))

    with heart.database.transaction() as tx:
        sessions.end_sessions(
            tx,
            user_id=person.id,
            session_ids=[ending.session_id],
            reason=EndReason.SIGNED_OUT,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )
        if not heart.database.is_sqlite:  # where one transaction writes at a time
            tightening.start()
            tightening.join(20)
            assert not tightening.is_alive()
            assert tx.execute(text(WAITING)).scalar_one() == 0
    if heart.database.is_sqlite:
        tightening.start()
        tightening.join(20)

    assert heart.session(other.session_id).sweep_at == heart.now + timedelta(days=2)
    assert heart.session(ending.session_id).end_reason == EndReason.SIGNED_OUT
