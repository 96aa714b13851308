"""What operators see of notices is read along indexes: looking costs the same in the middle of an outage."""

from typing import Any

from sqlalchemy import event, text

from idp.db.models import DeliveryState
from idp.outbox.inspection import DEAD, list_deliveries, measure_health
from tests.support.heart import Heart


def plans(heart: Heart, look: Any) -> list[str]:
    """How the database goes about each statement that `look(tx)` sends."""
    statements: list[tuple[str, Any]] = []
    with heart.database.reading() as tx:
        event.listen(
            heart.database.engine, "before_cursor_execute", lambda *call: statements.append((call[2], call[3]))
        )
        look(tx)
    found = []
    with heart.database.engine.begin() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_sort = off"))
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        for statement, parameters in [one for one in statements if one[0].startswith("SELECT")]:
            rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
            found.append("\n".join(str(row) for row in rows))
    return found


def test_dead_letters_and_what_waits_are_found_by_their_partial_indexes(heart: Heart) -> None:
    waiting, dead = plans(
        heart, lambda tx: list_deliveries(tx, client_id=None, states=(DeliveryState.PENDING, *DEAD), limit=10)
    )

    assert "ix_logout_deliveries_due" in waiting
    assert "ix_logout_deliveries_dead" in dead


def test_one_applications_notices_and_health_are_read_along_its_index(heart: Heart) -> None:
    listed = plans(heart, lambda tx: list_deliveries(tx, client_id="c", states=tuple(DeliveryState), limit=10))
    health = plans(heart, lambda tx: measure_health(tx, client_id="c", now=heart.now))

    assert [("ix_logout_deliveries_of_client" in plan) for plan in (*listed, *health)] == [True, True, True]
