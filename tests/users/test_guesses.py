"""Guess budgets: counted before the check, per person and per address, atomic on both databases."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from idp.db.engine import Database
from idp.db.models import GuessBudget
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret
from idp.settings import Settings
from idp.users import GuessVerdict, refund_guess, reserve_guess

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEYRING = Keyring(Secret("k" * 48))
SETTINGS = Settings(guesses_per_person=3, guesses_per_address=5, guess_window_lifetime=timedelta(minutes=15))


def guess(
    database: Database,
    person: str = "alice",
    address: str = "203.0.113.1",
    now: datetime = NOW,
    settings: Settings = SETTINGS,
) -> GuessVerdict:
    with database.transaction() as tx:
        return reserve_guess(tx, person=person, address=address, now=now, settings=settings, keyring=KEYRING)


def refund(database: Database, person: str = "alice", address: str = "203.0.113.1") -> None:
    with database.transaction() as tx:
        refund_guess(tx, person=person, address=address, keyring=KEYRING)


def test_a_person_may_be_guessed_at_only_so_often_from_whatever_address(database: Database) -> None:
    verdicts = [guess(database, address=f"203.0.113.{number}").allowed for number in range(5)]

    assert verdicts == [True, True, True, False, False]


def test_a_refusal_says_when_the_window_ends(database: Database) -> None:
    for seconds in range(3):
        guess(database, now=NOW + timedelta(seconds=seconds))

    refused = guess(database, now=NOW + timedelta(minutes=5))

    assert refused == GuessVerdict(allowed=False, retry_at=NOW + timedelta(minutes=15))


def test_the_budget_is_whole_again_when_the_window_is_over_and_not_before(database: Database) -> None:
    for _ in range(4):
        guess(database)

    assert not guess(database, now=NOW + timedelta(minutes=15) - timedelta(microseconds=1)).allowed
    assert [guess(database, now=NOW + timedelta(minutes=15)).allowed for _ in range(4)] == [True, True, True, False]


def test_an_address_may_guess_only_so_often_at_whatever_names(database: Database) -> None:
    verdicts = [guess(database, person=f"person {number}").allowed for number in range(7)]

    assert verdicts == [True] * 5 + [False] * 2


def test_a_barred_address_uses_up_nobodys_budget(database: Database) -> None:
    for number in range(6):
        guess(database, person=f"person {number}")
    for _ in range(10):
        guess(database, person="victim")

    assert guess(database, person="victim", address="198.51.100.7").allowed


def test_other_people_and_addresses_are_untouched(database: Database) -> None:
    for _ in range(4):
        guess(database)

    assert not guess(database, address="198.51.100.7").allowed
    assert guess(database, person="bob", address="198.51.100.8").allowed


def test_a_right_password_gives_the_person_a_fresh_budget(database: Database) -> None:
    for _ in range(3):
        guess(database)
    refund(database)

    assert [guess(database, address="198.51.100.7").allowed for _ in range(4)] == [True, True, True, False]


def test_an_attackers_own_account_does_not_wash_the_address_clean(database: Database) -> None:
    for number in range(4):
        guess(database, person=f"victim {number}")
    for _ in range(10):
        guess(database, person="attacker's own")
        refund(database, person="attacker's own")

    assert guess(database, person="victim 5").allowed
    assert not guess(database, person="victim 6").allowed


def test_refunding_what_was_never_reserved_changes_nothing(database: Database) -> None:
    refund(database)

    with database.reading() as tx:
        assert tx.scalars(select(GuessBudget)).all() == []


def test_a_budget_that_is_whole_again_gets_nothing_back(database: Database) -> None:
    guess(database)
    refund(database)
    refund(database)

    with database.reading() as tx:
        assert [row.guesses for row in tx.scalars(select(GuessBudget))] == [0]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.1", "203.0.113.1", True),
        ("203.0.113.1", "203.0.113.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("not an address", "not an address", True),
    ],
)
def test_one_subscribers_ipv6_addresses_share_one_budget(
    database: Database, first: str, second: str, is_same: bool
) -> None:
    for number in range(5):
        guess(database, person=f"person {number}", address=first)

    assert guess(database, person="one more", address=second).allowed is not is_same


def test_a_clock_that_steps_back_does_not_prolong_the_window(database: Database) -> None:
    guess(database, now=NOW + timedelta(days=1))
    for _ in range(3):
        guess(database, now=NOW)

    assert not guess(database, now=NOW).allowed
    assert guess(database, now=NOW + timedelta(minutes=15)).allowed


def test_the_table_reveals_neither_names_nor_addresses(database: Database) -> None:
    guess(database, person="alice@example.com", address="203.0.113.1")

    with database.reading() as tx:
        keys = tx.scalars(select(GuessBudget.key)).all()

    assert len(keys) == 2
    assert not any("alice" in key or "203" in key.split(":", 1)[1] for key in keys)


@pytest.mark.parametrize("person", ["", "\x00", "\ud800", "x" * 100_000])
def test_odd_names_are_counted_like_any_other(database: Database, person: str) -> None:
    assert [guess(database, person=person).allowed for _ in range(4)] == [True, True, True, False]


def test_of_many_parallel_guesses_exactly_the_budget_gets_through(
    database: Database, open_database: Callable[[], Database]
) -> None:
    nodes = [database, open_database()]
    barrier = threading.Barrier(20)

    def one(number: int) -> bool:
        barrier.wait()
        return guess(nodes[number % 2], address=f"203.0.113.{number}").allowed

    with ThreadPoolExecutor(20) as pool:
        allowed = list(pool.map(one, range(20)))

    assert allowed.count(True) == SETTINGS.guesses_per_person


def test_parallel_guesses_at_many_names_from_many_addresses_do_not_deadlock(database: Database) -> None:
    wide = Settings(guesses_per_person=1000, guesses_per_address=1000)
    barrier = threading.Barrier(16)

    def several(number: int) -> int:
        barrier.wait()
        count = 0
        for turn in range(5):
            person, address = f"person {(number + turn) % 3}", f"203.0.113.{(number * 7 + turn) % 3}"
            count += guess(database, person=person, address=address, settings=wide).allowed
        return count

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(several, range(16))) == 16 * 5

    with database.reading() as tx:
        rows = tx.execute(select(GuessBudget.key, GuessBudget.guesses)).all()
    assert sum(row.guesses for row in rows if row.key.startswith("person:")) == 80
    assert sum(row.guesses for row in rows if row.key.startswith("address:")) == 80
