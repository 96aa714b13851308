"""What an end costs: it reads the rows of the sessions that end, however many others there are (performance.md)."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text

from idp.db.models import Client, User
from idp.sessions import Ended, StartedSession
from tests.support.heart import Heart

BIG = ("token_families", "session_clients", "authorization_codes", "sessions", "logout_deliveries")


ENDS: dict[str, Callable[[Heart, User, StartedSession, Client], Ended]] = {
    "one session": lambda heart, person, browser, _client: heart.end(person, browser.session_id),
    "everything": lambda heart, person, _browser, _client: heart.end_everything(person),
    "one client": lambda heart, person, _browser, client: heart.withdraw(person, client),
    "one participation": Heart.end_part,
}


@pytest.mark.parametrize("what", ENDS)
def test_no_end_reads_a_whole_table(heart: Heart, what: str) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri="https://app.example/logout")
    browser = heart.sign_in(person)
    heart.tokens_for(browser, client)
    heart.tokens_for(browser, client, "openid offline_access")
    heart.code(browser, client)
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many and statement.startswith(("SELECT", "UPDATE")):
            statements.append((statement, parameters))

    event.listen(heart.database.engine, "before_cursor_execute", note)
    ended = ENDS[what](heart, person, browser, client)
    event.remove(heart.database.engine, "before_cursor_execute", note)

    assert ended.deliveries >= 1
    scans = [
        f"{scan}\n{statement}" for statement, parameters in statements for scan in _scans(heart, statement, parameters)
    ]
    assert scans == []


def _scans(heart: Heart, statement: str, parameters: Any) -> list[str]:
    """The full scans of big tables that a statement cannot avoid: on PostgreSQL, when it is told to avoid them."""
    is_sqlite = heart.database.is_sqlite
    with heart.database.reading() as tx:
        if not is_sqlite:
            tx.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        rows = tx.connection().exec_driver_sql(explain + statement, parameters).all()
    lines = [str(row[-1]) for row in rows]
    signs = [f"SCAN {table}" if is_sqlite else f"Seq Scan on {table}" for table in BIG]
    return [line for line in lines for sign in signs if sign in line and "USING" not in line]
