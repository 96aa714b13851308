"""A person's part of the trail: in pages without gaps, searched at a bounded price, never anybody else's."""

import time
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from idp import audit
from idp.account.activity_words import kinds_of
from idp.audit.history import HistoryPage, find_history, read_place, write_place
from idp.db.models import AuditEvent, EndReason, User
from idp.kit.identifiers import new_identifier, shard_key_in
from tests.support.heart import START, Heart

FAR_BACK = START.replace(year=2020)


def history(heart: Heart, person: User, **given: Any) -> HistoryPage:
    with heart.database.reading() as tx:
        return find_history(
            tx, **{"user_id": person.id, "since": FAR_BACK, "kinds": kinds_of(None), "limit": 50, **given}
        )


def note(heart: Heart, person: User, kind: str = "sign_in", **given: Any) -> None:
    with heart.database.transaction() as tx:
        audit.record(tx, kind, now=heart.now, user_id=person.id, **given)


def fill(heart: Heart, person: User, count: int) -> None:
    """Many sign-ins, the last one a minute before now."""
    shard = shard_key_in(person.id)
    moments = [heart.now.replace(microsecond=number) for number in range(count)]
    rows = [
        {
            "id": new_identifier(shard, moment),
            "occurred_at": moment,
            "kind": "sign_in",
            "user_id": person.id,
            "ip_address": f"192.0.2.{number % 200}",
            "details": {"agent": "Firefox 143", "os": "Linux"},
        }
        for number, moment in enumerate(moments)
    ]
    with heart.database.transaction() as tx:
        tx.execute(insert(AuditEvent), rows)


def test_a_persons_history_has_the_newest_first_and_nothing_of_other_people(heart: Heart) -> None:
    ada, eve = heart.person(), heart.person()
    heart.clock.advance(minutes=1)
    first = heart.sign_in(ada)
    heart.sign_in(eve)
    heart.clock.advance(minutes=1)
    heart.end(ada, first.session_id)

    found = history(heart, ada)

    assert [row.kind for row in found.rows] == ["sessions_ended", "sign_in", "user_created"]
    assert {row.session_id for row in found.rows} == {first.session_id, None}
    assert found.rows[0].details["reason"] == EndReason.SIGNED_OUT
    assert found.older is None


def test_a_row_that_names_another_persons_session_shows_nothing_of_it(heart: Heart) -> None:
    ada, eve = heart.person(), heart.person()
    theirs = heart.sign_in(eve)
    note(heart, ada, session_id=theirs.session_id)

    row = history(heart, ada).rows[0]

    assert (row.session_id, row.agent_name, row.session_kind) == (None, "", None)


def test_pages_follow_one_another_without_gap_or_repetition(heart: Heart) -> None:
    person = heart.person()
    for number in range(9):
        heart.clock.advance(seconds=number % 2)  # some share a moment
        note(heart, person)
    everything = [row.id for row in history(heart, person).rows]

    seen, after = [], None
    for _ in range(5):
        page = history(heart, person, limit=2, after=after)
        seen += [row.id for row in page.rows]
        after = read_place(write_place(page.older)) if page.older else None

    assert seen == everything
    assert len(set(seen)) == 10
    assert after is None


def test_a_place_that_was_tampered_with_is_the_beginning() -> None:
    for junk in (None, "", "x", "é", "=" * 50, "OTk5OTk5OTk5OTk5OTk5OTk5OTo", "a" * 200):
        assert read_place(junk) is None


@pytest.mark.parametrize(
    ("looked_for", "kind"),
    [("harbour", "app_signed_in"), ("FIREFOX 145", "sign_in"), ("192.0.2.7", "sign_in"), ("linux", "sign_in")],
)
def test_a_search_finds_applications_devices_and_addresses_in_any_case(
    heart: Heart, looked_for: str, kind: str
) -> None:
    person = heart.person()
    tool = heart.client(name="Harbour Tool")
    heart.tokens_for(heart.sign_in(person), tool, "openid offline_access")
    note(heart, person, "sign_in_refused", ip_address="203.0.113.9", details={"agent": "Curl"})

    found = history(heart, person, text=looked_for)

    assert {row.kind for row in found.rows} == {kind}


def test_a_failed_attempt_is_found_by_what_it_said_of_itself(heart: Heart) -> None:
    person = heart.person()
    note(heart, person, "sign_in_refused", ip_address="203.0.113.9", details={"agent": "Curl", "os": "Haiku"})

    for said in ("curl", "haiku"):
        assert [row.kind for row in history(heart, person, text=said).rows] == ["sign_in_refused"]


@pytest.mark.parametrize("pattern", ["%", "_", "/", "\\", "100%", "'; --"])
def test_what_is_looked_for_is_text_and_no_pattern(heart: Heart, pattern: str) -> None:
    person = heart.person()
    heart.sign_in(person)

    assert history(heart, person, text=pattern).rows == ()


def test_narrowing_to_kinds_leaves_the_others_out(heart: Heart) -> None:
    person = heart.person()
    heart.sign_in(person)

    assert [row.kind for row in history(heart, person, kinds={"sign_in"}).rows] == ["sign_in"]
    assert history(heart, person, kinds={"refresh_skipped"}).rows == ()


def test_what_is_older_than_asked_for_is_not_shown(heart: Heart) -> None:
    person = heart.person()
    heart.clock.advance(days=91)
    note(heart, person)

    assert len(history(heart, person, since=heart.clock.now().replace(hour=0)).rows) == 1


def test_a_search_stops_after_its_fill_says_so_and_goes_on_there(heart: Heart) -> None:
    person = heart.person()
    note(heart, person, "sign_in_refused", details={"agent": "Curl"})
    heart.clock.advance(days=1)
    fill(heart, person, 25)

    first = history(heart, person, text="curl", scan=20)
    second = history(heart, person, text="curl", scan=20, after=first.older)

    assert (first.rows, first.searched_to) == ((), heart.now.replace(microsecond=5))
    assert [row.kind for row in second.rows] == ["sign_in_refused"]
    assert (second.older, second.searched_to) == (None, None)


def test_ten_thousand_entries_cost_one_statement_and_are_read_along_the_index(heart: Heart) -> None:
    person = heart.person()
    fill(heart, person, 10_000)
    fill(heart, heart.person(), 3_000)
    statements: list[tuple[str, Any]] = []
    event.listen(heart.database.engine, "before_cursor_execute", lambda *call: statements.append((call[2], call[3])))

    started = time.perf_counter()
    page = history(heart, person)
    opened = time.perf_counter()
    rare = history(heart, person, text="no such device")

    searched = time.perf_counter()
    # Figures, not assertions: the machine decides.
    print(f"page {(opened - started) * 1000:.0f} ms, fruitless search {(searched - opened) * 1000:.0f} ms")  # noqa: T201
    assert (len(page.rows), len(rare.rows)) == (50, 0)
    selects = [call for call in statements if call[0].startswith("SELECT")]
    assert len(selects) == 3  # one for the page, two for the search that came to its end
    for statement, parameters in selects:
        plan = explained(heart, statement, parameters)
        assert "ix_audit_events_history" in plan, plan
        assert "SCAN audit_events" not in plan


def explained(heart: Heart, statement: str, parameters: Any) -> str:
    """How the database would go about a statement, once it knows its tables."""
    with heart.database.engine.begin() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.execute(text("ANALYZE"))
        if not is_sqlite:
            # So few rows, most of them of one person, are read about as quickly as a whole, or by time and then sorted.
            for way in ("seqscan", "sort", "incremental_sort"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        rows = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{statement}", parameters)
        return "\n".join(str(row) for row in rows)
