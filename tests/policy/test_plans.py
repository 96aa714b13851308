"""What a decision costs the database: small looks, and a sweep that goes by its index."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from idp import sessions
from idp.db.engine import Tx
from tests.support.heart import Heart

OFFLINE = "openid offline_access"


def plans_of(heart: Heart, act: Callable[[], Any]) -> dict[str, str]:
    """The plan of each statement that leaves meanwhile, by its text; PostgreSQL must use an index where it can."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _u: object, statement: str, parameters: Any, *_rest: object) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            seen.append((statement, parameters))

    event.listen(heart.database.engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(heart.database.engine, "before_cursor_execute", note)
    plans: dict[str, str] = {}
    with heart.database.reading() as tx:
        if not heart.database.is_sqlite:
            tx.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN " if heart.database.is_sqlite else "EXPLAIN "
        for statement, parameters in seen:
            plans[statement] = "\n".join(str(row[-1]) for row in explained(tx, explain + statement, parameters))
    assert plans
    return plans


def explained(tx: Tx, statement: str, parameters: Any) -> Sequence[Any]:
    """The rows of a plan; statements written once (`idp.db.fixed`) number their parameters."""
    if "$1" not in statement:
        return tx.connection().exec_driver_sql(statement, parameters).all()
    driver = tx.connection().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with psycopg.RawCursor(driver) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def around(lines: Sequence[str], place: int) -> list[str]:
    """The lines of a plan in which one stands, from the inside out: PostgreSQL indents, SQLite has one line before."""
    found, depth = [], len(lines[place]) - len(lines[place].lstrip())
    for line in reversed(lines[:place]):
        indent = len(line) - len(line.lstrip())
        if indent < depth or (depth == 0 and not found):
            found.append(line)
            depth = indent
    return found


def test_the_sweep_finds_what_is_due_by_its_index(heart: Heart) -> None:
    for _ in range(3):
        heart.sign_in(heart.person())

    plans = plans_of(heart, heart.sweep)

    [due] = [plan for statement, plan in plans.items() if "sweep_at <=" in statement]
    assert "ix_sessions_sweep_at" in due


def test_parts_of_applications_are_swept_and_looked_up_by_their_indexes(heart: Heart) -> None:
    client = heart.client()
    heart.decide("participation_idle_lifetime", "1h", client)
    tokens = heart.tokens_for(heart.sign_in(heart.person()), client)

    def act() -> None:
        heart.refresh(tokens, client)
        with heart.database.transaction() as tx:
            sessions.sweep_parts(tx, now=heart.now, settings=heart.settings)
        with heart.database.transaction() as tx:
            sessions.tighten_part_hints(tx)

    plans = plans_of(heart, act)

    [due] = [plan for statement, plan in plans.items() if "session_clients.sweep_at <=" in statement]
    assert "ix_session_clients_sweep_at" in due
    [refresh] = [plan for statement, plan in plans.items() if "session_client_id = session_clients.id AND" in statement]
    assert "ix_token_families_session_client_id" in refresh


def test_no_parts_are_walked_through_where_no_application_has_lifetimes_of_its_own(heart: Heart) -> None:
    heart.tokens_for(heart.sign_in(heart.person()), heart.client())

    def act() -> None:
        with heart.database.transaction() as tx:
            sessions.tighten_part_hints(tx)

    assert not any("session_clients" in statement for statement in plans_of(heart, act))


def test_hints_are_followed_page_by_page_along_the_primary_key(heart: Heart) -> None:
    heart.sign_in(heart.person())

    def tighten() -> None:
        with heart.database.transaction() as tx:
            sessions.tighten_hints(tx, settings=heart.settings)

    of_sessions = [plan for statement, plan in plans_of(heart, tighten).items() if "FROM sessions" in statement]

    assert len(of_sessions) == 2
    for plan in of_sessions:
        assert "Seq Scan on sessions" not in plan
        assert "SCAN sessions" not in plan or "USING" in plan


@pytest.mark.parametrize("what", ["page", "refresh"])
def test_values_are_looked_up_once_per_statement_and_not_once_per_row(heart: Heart, what: str) -> None:
    client = heart.client()
    browser = heart.sign_in(heart.person())
    token = heart.tokens_for(browser, client, OFFLINE)

    def act() -> None:
        if what == "page":
            heart.current(browser.handle)
        else:
            heart.refresh(token, client)

    [plan] = [
        plan
        for statement, plan in plans_of(heart, act).items()
        if "policy_values" in statement and not statement.startswith("SELECT token_families")
    ]
    lines = plan.splitlines()
    [look] = [place for place, line in enumerate(lines) if "policy_values" in line and "SCAN" in line.upper()]
    assert not [line for line in around(lines, look) if line.strip().startswith(("CORRELATED", "SubPlan"))]
