"""After a restored back-up: whatever was live at its moment ends, once and for all; what was over stays over."""

import re
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import event

from idp.db.models import AuthorizationCode, EndReason, LogoutDelivery, Session, StoredRequest, TokenFamily, User
from idp.retention import count_people_live_since, end_live_since, invalidate_half_way
from idp.sessions import Actor
from idp.tokens import Issued, Refused
from tests.support.heart import Heart


def restore(heart: Heart, since: datetime, *, limit: int = 50) -> tuple[int, int]:
    """As the command does it; how many people and sessions."""
    while True:
        with heart.database.transaction() as tx:
            if not invalidate_half_way(tx, now=heart.now, limit=limit):
                break
    after, people, sessions = "", 0, 0
    while True:
        with heart.database.transaction() as tx:
            last, batch, ended = end_live_since(
                tx, since=since, after=after, actor=Actor(), settings=heart.settings, now=heart.now, limit=limit
            )
        if last is None:
            return people, sessions
        after, people, sessions = last, people + batch, sessions + ended


def test_every_session_that_was_live_then_ends_and_its_application_is_told(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri="https://app.example/bye")
    people = [heart.person() for _ in range(5)]
    sessions = [heart.sign_in(person) for person in people]
    held = [heart.tokens_for(session, client) for session in sessions]
    apps = [heart.tokens_for(session, client, "openid offline_access") for session in sessions]
    backed_up_at = heart.now
    heart.clock.advance(hours=3)

    with heart.database.reading() as tx:
        assert count_people_live_since(tx, since=backed_up_at, settings=heart.settings) == 5
    assert restore(heart, backed_up_at, limit=2) == (5, 10)

    assert {row.end_reason for row in heart.all(Session)} == {EndReason.RESTORED}
    assert all(isinstance(heart.refresh(issued, client), Refused) for issued in [*held, *apps])
    assert all(heart.current(session.handle) is None for session in sessions)
    assert len(heart.all(LogoutDelivery)) == 10
    assert {user.epoch for user in heart.all(User)} == {1}
    assert restore(heart, backed_up_at) == (0, 0)


def test_a_session_that_began_later_ends_too_and_one_that_was_over_keeps_its_reason(heart: Heart) -> None:
    person, idle = heart.person(), heart.person()
    ended, forgotten = heart.sign_in(person), heart.sign_in(idle)
    heart.end(person, ended.session_id)
    heart.clock.advance(hours=25)
    since = heart.now
    heart.clock.advance(hours=1)
    later = heart.sign_in(person)

    assert restore(heart, since) == (1, 1)

    assert heart.session(later.session_id).end_reason == EndReason.RESTORED
    assert heart.session(ended.session_id).end_reason == EndReason.SIGNED_OUT
    assert heart.current(forgotten.handle) is None
    heart.sweep()
    assert heart.session(forgotten.session_id).end_reason == EndReason.IDLE


def test_a_session_that_only_refreshes_kept_alive_counts_as_live(heart: Heart) -> None:
    client = heart.client()
    issued = heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.clock.advance(hours=20)
    issued_again = heart.refresh(issued, client)
    assert isinstance(issued_again, Issued)
    heart.clock.advance(hours=10)

    assert restore(heart, heart.now) == (1, 1)


def test_what_was_half_way_is_worthless(heart: Heart) -> None:
    from tests.retention.purging import put_aside

    client, session = heart.client(), heart.sign_in(heart.person())
    service = heart.client(redirect_uris=[], grant_types=("client_credentials",))
    heart.code(session, client)
    put_aside(heart)
    issued = heart.service_tokens(service)

    restore(heart, heart.now, limit=1)

    long_ago = heart.now - timedelta(days=365)
    assert all(row.expires_at < long_ago for row in [*heart.all(AuthorizationCode), *heart.all(StoredRequest)])
    (family,) = heart.all(TokenFamily, TokenFamily.id == issued.family_id)
    assert family.revoke_reason == EndReason.RESTORED


def test_the_people_are_found_by_an_index(heart: Heart) -> None:
    client = heart.client()
    for _ in range(3):
        heart.tokens_for(heart.sign_in(heart.person()), client)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(heart.database.engine, "before_cursor_execute", note)
    restore(heart, heart.now)
    event.remove(heart.database.engine, "before_cursor_execute", note)

    assert len(seen) > 5
    for statement, parameters in seen:
        with heart.database.engine.connect() as connection:
            if heart.database.is_sqlite:
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                scans = [row for row in rows if re.match(r"SCAN (?!policy_values|decided|json_each|.*USING)", row[-1])]
                assert not scans, (statement, rows)
            else:
                connection.exec_driver_sql("SET enable_seqscan = off")
                rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
                assert not re.search(r"Seq Scan on (?!policy_values)", "\n".join(row[0] for row in rows)), (
                    statement,
                    rows,
                )
