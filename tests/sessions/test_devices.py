"""The list of signed-in devices: it is the truth, in pages, at a flat price."""

import time
from typing import Any

from sqlalchemy import event, insert

from idp import sessions
from idp.db.models import Session, SessionKind
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import base64url
from idp.sessions import DevicesPage
from tests.support.heart import Heart

OFFLINE = "openid offline_access"


def listed(heart: Heart, user_id: str, current: str | None = None, **paging: Any) -> DevicesPage:
    with heart.database.reading() as tx:
        return sessions.list_devices(
            tx, user_id=user_id, current_session_id=current, now=heart.now, policy=heart.policy, **paging
        )


def test_the_list_shows_browsers_apps_and_what_they_are_used_for(heart: Heart) -> None:
    person = heart.person()
    here, there = heart.sign_in(person), heart.sign_in(person)
    wiki, tool = heart.client(name="Wiki"), heart.client(name="Tool")
    heart.tokens_for(here, wiki)
    heart.tokens_for(here, tool, OFFLINE)
    heart.sign_in(heart.person())

    page = listed(heart, person.id, here.session_id)

    assert (page.browser_count, page.app_count) == (2, 1)
    by_id = {row.session_id: row for row in page.browsers}
    assert set(by_id) == {here.session_id, there.session_id}
    assert by_id[here.session_id].is_current
    assert not by_id[there.session_id].is_current
    assert by_id[here.session_id].applications == ("Wiki",)
    assert [(row.client_name, row.parent_id) for row in page.apps] == [("Tool", here.session_id)]


def test_what_ended_is_listed_with_time_and_reason_and_no_longer_as_live(heart: Heart) -> None:
    person = heart.person()
    browser = heart.sign_in(person)
    heart.end(person, browser.session_id)

    page = listed(heart, person.id)

    assert (page.browsers, page.browser_count, page.app_count) == ([], 0, 0)
    [ended] = page.recently_ended
    assert (ended.session_id, ended.ended_at, ended.reason) == (browser.session_id, heart.now, "signed_out")


def test_an_expired_session_is_not_listed_as_live_even_before_the_sweep(heart: Heart) -> None:
    person = heart.person()
    heart.sign_in(person)
    heart.clock.advance(hours=24)

    page = listed(heart, person.id)

    assert (page.browsers, page.browser_count) == ([], 0)


def test_a_refresh_shows_as_last_activity(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    app = heart.tokens_for(heart.sign_in(person), client, OFFLINE)
    heart.clock.advance(minutes=20)
    heart.refresh(app, client)

    [row] = listed(heart, person.id).apps

    assert row.last_active_at == heart.now


def test_pages_follow_one_another_without_gap_or_repetition(heart: Heart) -> None:
    person = heart.person()
    made = []
    for number in range(7):
        heart.clock.advance(seconds=number % 2)  # some share a moment
        made.append(heart.sign_in(person).session_id)

    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = listed(heart, person.id, page_size=2, browsers_after=cursor)
        seen += [row.session_id for row in page.browsers]
        cursor = page.next_browsers

    assert sorted(seen) == sorted(made)
    assert cursor is None


def test_an_unreadable_cursor_shows_the_first_page(heart: Heart) -> None:
    person = heart.person()
    heart.sign_in(person)

    nobody, nothing = (base64url(f"0:{text}".encode()) for text in ("nobody", "\0"))  # a NUL is no text to PostgreSQL
    for junk in ("x", "é", "=" * 50, "OTk5OTk5OTk5OTk5OTk5OTk5OTo", "a" * 200, nobody, nothing):
        assert len(listed(heart, person.id, browsers_after=junk).browsers) == 1


def test_the_first_page_of_ten_thousand_sessions_takes_three_statements_and_little_time(heart: Heart) -> None:
    person = heart.person()
    shard = shard_key_in(person.id)
    rows = [
        {
            "id": new_identifier(shard, heart.now),
            "user_id": person.id,
            "kind": SessionKind.BROWSER,
            "secret_hash": b"x" * 32,
            "auth_time": heart.now,
            "amr": ["pwd"],
            "started_at": heart.now,
            "last_active_at": heart.now,
            "sweep_at": heart.now,
        }
        for _ in range(10_000)
    ]
    with heart.database.transaction() as tx:
        tx.execute(insert(Session), rows)
    listed(heart, person.id)
    statements: list[str] = []
    event.listen(heart.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    started = time.perf_counter()

    page = listed(heart, person.id)

    elapsed = time.perf_counter() - started
    assert page.browser_count == 10_000
    assert page.next_browsers is not None
    assert len([text for text in statements if text.startswith("SELECT")]) == 3
    print(f"first page of 10,000 sessions: {elapsed * 1000:.0f} ms")  # noqa: T201 - a figure, not an assertion
