"""`idp purge` and `idp db restored`, on both databases."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from idp.cli import retention
from idp.db.models import AuditEvent, EndReason, LogoutDelivery, Session, StoredRequest
from idp.tokens import Refused
from tests.cli.shell import Shell
from tests.retention.purging import crowd, put_aside
from tests.support.heart import Heart


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def live_long_ago(today: Heart, days: int) -> datetime:
    """Turn the clock back; returns today."""
    now = today.now
    today.clock.advance(days=-days)
    return now


# ── purge ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_counts_and_deletes_nothing_and_the_real_one_does_just_that(shell: Shell, today: Heart) -> None:
    now = live_long_ago(today, 100)
    crowd(today, 3)
    today.clock.moment = now
    crowd(today, 1)
    put_aside(today)

    counted = shell.json("purge", "--dry-run")
    assert len(today.all(Session)) == 8
    deleted = shell.json("purge", "--batch", "2")

    assert (counted["dry_run"], deleted["dry_run"]) == (True, False)
    assert (counted["rows"]["sessions"], deleted["rows"]["sessions"]) == (6, 6)
    # Until the sessions that they name are gone, no sign-out is due.
    assert (counted["rows"]["logout_events"], deleted["rows"]["logout_events"]) == (0, 3)
    assert len(today.all(Session)) == 2
    assert len(today.all(StoredRequest)) == 1
    assert not any(shell.json("purge")["rows"].values())


def test_people_read_what_was_deleted(shell: Shell, today: Heart) -> None:
    assert "There was nothing to delete." in shell.run("purge").output
    now = live_long_ago(today, 100)
    crowd(today, 1)
    today.clock.moment = now

    assert "ended sessions" in shell.run("purge").output


def test_the_settings_say_how_long_things_are_kept(shell: Shell, today: Heart) -> None:
    now = live_long_ago(today, 10)
    crowd(today, 1)
    today.clock.moment = now

    assert shell.json("purge", "--dry-run")["rows"]["sessions"] == 0
    shell.environment["IDP_HISTORY_LIFETIME"] = "9d"
    assert shell.json("purge", "--dry-run")["rows"]["sessions"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--batch", "0"], "range"), (["--batch", "many"], "not a valid integer"), (["now"], "unexpected extra argument")],
)
def test_purge_refuses_what_it_does_not_understand(shell: Shell, arguments: list[str], sentence: str) -> None:
    assert sentence in shell.refusal("purge", *arguments)


# ── db restored ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_after_a_restore_everything_that_was_live_ends_in_batches(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PEOPLE", 2)
    client = today.client(backchannel_logout_uri="https://app.example/bye")
    backed_up_at = today.now - timedelta(hours=2)
    sessions = [today.sign_in(today.person()) for _ in range(5)]
    held = [today.tokens_for(session, client, "openid offline_access") for session in sessions]
    put_aside(today)

    done = shell.json("db", "restored", "--since", stamp(backed_up_at))

    assert (done["people"], done["sessions"], done["half_way"]) == (5, 10, 1)
    assert {row.end_reason for row in today.all(Session)} == {EndReason.RESTORED}
    assert len(today.all(LogoutDelivery)) == 5
    assert all(isinstance(today.refresh(issued, client), Refused) for issued in held)
    again = shell.run("db", "restored", "--since", stamp(backed_up_at))
    assert "Ended: 0 sessions of 0 people." in again.output
    assert "Do it again" in again.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing option '--since'"),
        (["--since", "yesterday"], "is no moment"),
        (["--since", "2026-11-21T03:00:00"], "has no time zone"),
        (["--since", "2999-01-01T00:00:00Z"], "lies in the future"),
    ],
)
def test_without_a_clear_moment_nothing_ends(shell: Shell, today: Heart, arguments: list[str], sentence: str) -> None:
    session = today.sign_in(today.person())

    assert sentence in shell.refusal("db", "restored", *arguments)

    assert today.current(session.handle) is not None


def test_both_say_what_to_do_before_anything_is_set_up(blank: Shell) -> None:
    for command in (["purge"], ["db", "restored", "--since", "2026-11-21T03:00:00Z"]):
        assert "Run `idp init`" in blank.refusal(*command)


def test_restored_leaves_its_word_in_the_trail_when_all_is_done(shell: Shell, today: Heart) -> None:
    """What a node that noticed the restore waits for: tests/retention/test_memory.py."""
    today.sign_in(today.person())

    shell.json("db", "restored", "--since", (today.now - timedelta(hours=1)).isoformat())

    (row,) = today.all(AuditEvent, AuditEvent.kind == "database_restored")
    assert (row.details["people"], row.details["sessions"]) == (1, 1)


def test_init_of_a_new_database_forgets_what_was_seen_in_another(blank: Shell, tmp_path: Path) -> None:
    (tmp_path / "last-seen.json").write_text("{}")

    blank.json("init")
    assert not (tmp_path / "last-seen.json").exists()

    (tmp_path / "last-seen.json").write_text("{}")
    blank.json("init")
    assert (tmp_path / "last-seen.json").exists()
