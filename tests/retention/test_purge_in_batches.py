"""Purging in batches, beside other purges and refreshes, and how the rows are found."""

import re
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import event

from idp.db.engine import Database
from idp.db.models import (
    AuthorizationCode,
    Base,
    LogoutEvent,
    Session,
    SessionClient,
    TokenFamily,
    User,
)
from idp.retention import KINDS
from idp.tokens import Issued
from tests.retention.purging import count, crowd, due, purge, settle_notices
from tests.support.heart import Heart, race


def snapshot(heart: Heart) -> dict[str, int]:
    return dict(zip(Base.metadata.tables, count(heart, *Base.metadata.tables.values()), strict=True))


def test_batches_of_one_reach_everything_and_a_second_run_finds_nothing(heart: Heart) -> None:
    crowd(heart, 4)
    heart.clock.advance(days=91)
    expected = due(heart)

    gone = purge(heart, limit=1)

    assert (gone["sessions"], gone["logout_events"], gone["participations"]) == (8, 4, 8)
    assert gone["sessions"] == expected["sessions"]
    left = snapshot(heart)
    assert {name for name, rows in left.items() if rows} == {"users", "clients", "client_secrets", "audit_events"}
    assert not any(purge(heart).values())


def test_two_purges_at_once_delete_each_row_once_and_neither_waits_in_a_circle(heart: Heart) -> None:
    crowd(heart, 12)
    heart.clock.advance(days=91)
    nodes = [heart.open_database() for _ in range(2)]

    runs = race([partial(purge, heart, limit=3, database=node) for node in nodes])
    runs.append(purge(heart))

    assert sum(run["sessions"] for run in runs) == 24
    assert sum(run["logout_events"] for run in runs) == 12
    assert count(heart, Session, SessionClient, TokenFamily, AuthorizationCode, LogoutEvent) == [0, 0, 0, 0, 0]


def test_purging_beside_refreshes_disturbs_none(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365), refresh_leeway_lifetime=timedelta(0))
    crowd(heart, 6)
    client = heart.client()
    sessions = [heart.sign_in(heart.person()) for _ in range(3)]
    apps = [heart.tokens_for(session, client, "openid offline_access") for session in sessions]
    for session in sessions:  # the parents are purged, the apps live on
        heart.end(heart.all(User, User.id == heart.session(session.session_id).user_id)[0], session.session_id)
    settle_notices(heart)
    heart.clock.advance(days=91)
    nodes = [heart.open_database() for _ in range(3)]

    def refresh(node: Database, issued: Any) -> bool:
        for _ in range(5):
            issued = heart.refresh(issued, client, database=node)
            if not isinstance(issued, Issued):
                return False
        return True

    outcomes = race(
        [partial(purge, heart, limit=2), *(partial(refresh, *pair) for pair in zip(nodes, apps, strict=True))]
    )

    assert outcomes[1:] == [True, True, True]


def test_every_kind_is_found_by_an_index(heart: Heart) -> None:
    statements = capture(heart)

    for statement, parameters in statements:
        with heart.database.engine.connect() as connection:
            if heart.database.is_sqlite:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                lines = [row[-1] for row in plan]
                assert not [line for line in lines if re.match(r"SCAN (?!.*USING)", line)], (statement, lines)
            else:
                connection.exec_driver_sql("SET enable_seqscan = off")
                plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
                text_of_plan = "\n".join(row[0] for row in plan)
                assert "Seq Scan" not in text_of_plan, (statement, text_of_plan)


def capture(heart: Heart) -> list[tuple[str, Any]]:
    """Every statement of a purge that has work to do."""
    crowd(heart, 2)
    heart.clock.advance(days=500)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if (
            re.match(r"(SELECT|DELETE|UPDATE)", statement)
            and not many
            and not re.search(r"FROM (signing_keys|policy_values)", statement)
        ):
            seen.append((statement, parameters))

    event.listen(heart.database.engine, "before_cursor_execute", note)
    try:
        gone = purge(heart)
    finally:
        event.remove(heart.database.engine, "before_cursor_execute", note)
    assert gone["sessions"] == 4
    assert len(seen) > len(KINDS)
    return seen
