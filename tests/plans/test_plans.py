"""With thousands of rows and free choice, PostgreSQL goes about what must not grow by the indexes made for it.

No planner setting is touched. Each plan is also made with the index away, in a transaction that is rolled back: a test
of a plan that cannot fail would say nothing. SQLite and tables without rows: the tests beside each rule.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from benchmarks.population import FAMILY_SECRET, TEXT_SECRET, cookie_of, identifier
from idp import outbox, sessions
from idp.account.activity_words import Group, kinds_of
from idp.audit.history import find_history
from idp.db.models import Client, TokenFamily, User
from idp.kit.opaque import Secret
from idp.outbox.claim import Lane
from idp.retention import KINDS, purge_batch
from idp.sessions.preview import preview_end_everything
from idp.tokens.refresh_tokens import RefreshToken, write_refresh_token
from tests.support.heart import Heart

BIG = (
    "users", "sessions", "session_clients", "token_families", "logout_events", "logout_deliveries", "audit_events",
)  # fmt: skip


Explain = Callable[[Connection, str, Any], str]
_ENDING = itertools.count(101)


# ── What is done ──────────────────────────────────────────────────────────────────────────────────────────────────────


def look_at_devices(heart: Heart) -> None:
    with heart.database.reading() as tx:
        page = sessions.list_devices(
            tx,
            user_id=identifier("u", 17),
            current_session_id=None,
            now=heart.now,
            policy=heart.policy,
        )
    assert (page.browser_count, page.app_count, len(page.recently_ended)) == (1, 1, 1)


def ask_before_everywhere(heart: Heart) -> None:
    with heart.database.reading() as tx:
        preview = preview_end_everything(
            tx, user_id=identifier("u", 18), except_session_id=None, now=heart.now, policy=heart.policy
        )
    assert (preview.browsers, preview.apps) == (1, 1)


def end_everything(heart: Heart) -> None:
    # Who signed out everywhere has nothing left for the next test.
    ended = heart.end_everything(User(id=identifier("u", next(_ENDING))))
    assert (ended.browsers, ended.apps, ended.participations) == (1, 1, 2)


def sweep(heart: Heart) -> None:
    heart.clock.advance(hours=23, minutes=45)
    with heart.database.transaction() as tx:
        swept = sessions.sweep(tx, now=heart.now, settings=heart.settings, limit=5)
        tx.rollback()
    assert swept.looked_at == 5


def claim(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        found = outbox.claim_due(tx, holder="x", limit=4, now=heart.now, settings=heart.settings, lane=Lane.FIRST)
        tx.rollback()
    assert found


def search_history(heart: Heart) -> None:
    with heart.database.reading() as tx:
        page = find_history(
            tx, user_id=identifier("u", 19), since=heart.now - timedelta(days=90), kinds=kinds_of(None), text="firefox"
        )
    assert len(page.rows) == 4


def look_at_one_group(heart: Heart) -> None:
    with heart.database.reading() as tx:
        page = find_history(
            tx, user_id=identifier("u", 19), since=heart.now - timedelta(days=90), kinds=kinds_of(Group.SIGN_INS)
        )
    assert len(page.rows) == 1


def refresh(heart: Heart) -> None:
    client_id = heart.all(TokenFamily, TokenFamily.id == identifier("f", 21))[0].client_id
    client = heart.all(Client, Client.id == client_id)[0]
    generation = heart.all(TokenFamily, TokenFamily.id == identifier("f", 21))[0].generation
    token = write_refresh_token(RefreshToken(identifier("f", 21), generation, FAMILY_SECRET), heart.keyring)
    heart.clock.advance(minutes=generation)
    assert not hasattr(heart.refresh(token, client), "error")


def look_at_the_cookie(heart: Heart) -> None:
    assert cookie_of(22).endswith(TEXT_SECRET)
    assert heart.current(Secret(cookie_of(22))) is not None


def purge(*kinds: str) -> Callable[[Heart], None]:
    chosen = [one for one in KINDS if one.name in kinds]

    def remove(heart: Heart) -> None:
        heart.clock.advance(days=12 if "audit_events" not in kinds else heart.settings.audit_lifetime.days - 79)
        with heart.database.transaction() as tx:
            for kind in chosen:
                assert purge_batch(tx, kind, settings=heart.settings, now=heart.now, limit=20) > 0
            tx.rollback()

    return remove


@dataclass(frozen=True)
class Done:
    """Something that is done, and the indexes without which it would read what is none of its business."""

    act: Callable[[Heart], None]
    indexes: tuple[str, ...]


DONE = {
    "Signed-in devices": Done(look_at_devices, ("ix_sessions_live_of_user", "ix_sessions_ended_of_user")),
    "the question before everywhere": Done(ask_before_everywhere, ("ix_sessions_live_of_user",)),
    "sign out everywhere": Done(
        end_everything,
        (
            "ix_sessions_live_of_user",
            "ix_session_clients_session_id",
            "ix_token_families_session_id",
        ),
    ),
    "the sweep": Done(sweep, ("ix_sessions_sweep_at", "ix_token_families_session_id")),
    "claiming notices": Done(claim, ("ix_logout_deliveries_due",)),
    "the history, searched": Done(search_history, ("ix_audit_events_history",)),
    "the history, one group": Done(look_at_one_group, ("ix_audit_events_history",)),
    "refreshing": Done(refresh, ("pk_token_families",)),
    "the cookie of a page": Done(look_at_the_cookie, ("pk_sessions",)),
    "purging sessions": Done(purge("sessions"), ("ix_sessions_ended_at", "ix_logout_deliveries_session_id")),
    "purging receipts": Done(purge("sessions", "logout_events"), ("ix_logout_events_occurred_at",)),
    "purging the trail": Done(purge("audit_events"), ("ix_audit_events_occurred_at",)),
}
PAIRS = [(name, index) for name, done in DONE.items() for index in done.indexes if index.startswith("ix_")]


# ── The tests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", DONE)
def test_no_big_table_is_read_as_a_whole_and_the_indexes_are_used(crowded: Heart, name: str) -> None:
    done = DONE[name]

    plans = plans_of(crowded, done.act)

    assert complaints(plans, done.indexes) == []


@pytest.mark.parametrize("name", DONE)
def test_the_same_holds_for_plans_that_are_kept_for_all_values(crowded: Heart, name: str) -> None:
    done = DONE[name]

    plans = plans_of(crowded, done.act, explain=explained_for_all_values)

    assert complaints(plans, done.indexes) == []


@pytest.mark.parametrize(("name", "index"), PAIRS)
def test_without_the_index_that_would_show(crowded: Heart, name: str, index: str) -> None:
    plans = plans_of(crowded, DONE[name].act, without=index)

    assert any(index in complaint for complaint in complaints(plans, DONE[name].indexes))


def complaints(plans: Sequence[str], indexes: Sequence[str]) -> list[str]:
    """What is wrong with the plans of the statements of one act."""
    scans = [f"Seq Scan on {table}: {plan}" for plan in plans for table in BIG if f"Seq Scan on {table}" in plan]
    unused = [f"{index} is not used" for index in indexes if not any(f"{index} " in plan for plan in plans)]
    return scans + unused


def plans_of(
    heart: Heart, act: Callable[[Heart], None], *, without: str | None = None, explain: Explain | None = None
) -> list[str]:
    """How PostgreSQL goes about each statement that an act sends, as if that index did not exist."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and "pg_notify" not in statement and not many:
            seen.append((statement, parameters))

    event.listen(heart.database.engine, "before_cursor_execute", note)
    try:
        act(heart)
    finally:
        event.remove(heart.database.engine, "before_cursor_execute", note)
    assert seen
    with heart.database.engine.connect() as connection:
        if without is not None:
            connection.execute(text(f"DROP INDEX {without}"))
        plans = [(explain or explained)(connection, *one) for one in seen]
        connection.rollback()
    return plans


def explained(connection: Connection, statement: str, parameters: Any) -> str:
    """One plan; statements that are written once (`idp.db.fixed`) number their parameters."""
    if "$1" not in statement:
        rows: Sequence[Any] = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
    else:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with psycopg.RawCursor(driver) as cursor:
            rows = cursor.execute(f"EXPLAIN {statement}", parameters).fetchall()
    return "\n".join(str(row[0]) for row in rows)


def explained_for_all_values(connection: Connection, statement: str, _parameters: Any) -> str:
    """The plan that PostgreSQL may keep for a statement that the driver prepared: made without knowing any value."""
    numbers: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    if "$1" not in statement:
        statement = re.sub(r"%\((\w+)\)s", numbered, statement).replace("%%", "%")
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with psycopg.RawCursor(driver) as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE probe AS {statement}")
        count = max(map(int, re.findall(r"\$(\d+)", statement)), default=0)
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        rows = cursor.execute(f"EXPLAIN EXECUTE probe{values}").fetchall()
        cursor.execute("DEALLOCATE probe")
    return "\n".join(str(row[0]) for row in rows)
