"""Accounts: which names there may be, that each is one person's only, and finding people by them."""

import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from idp.db.engine import Database
from idp.db.models import AuditEvent, User
from idp.kit.identifiers import shard_key_in, shard_key_of
from idp.users import (
    UserProblem,
    create_user,
    find_by_login_name,
    find_by_sub,
    find_known_person,
    find_user,
    list_users,
    normalize_login_name,
    replace_password_hash,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make(database: Database, email: str | None = "alice@example.com", username: str | None = "alice") -> User:
    with database.transaction() as tx:
        user = create_user(tx, email=email, username=username, password_hash="h", now=NOW)
    assert isinstance(user, User), user
    return user


def refusals(database: Database, email: str | None, username: str | None) -> list[UserProblem]:
    with database.transaction() as tx:
        problems = create_user(tx, email=email, username=username, password_hash="h", now=NOW)
    assert isinstance(problems, list), "this account should have been refused"
    with database.reading() as tx:
        assert tx.scalar(select(func.count()).select_from(AuditEvent).where(AuditEvent.kind == "user_created")) == 0
    return problems


def test_a_person_is_found_by_email_username_sub_and_identifier(database: Database) -> None:
    user = make(database)

    with database.reading() as tx:
        found = [
            find_by_login_name(tx, "alice@example.com"),
            find_by_login_name(tx, "alice"),
            find_by_sub(tx, user.sub),
            find_user(tx, user.id),
        ]

    assert [one.id if one else None for one in found] == [user.id] * 4


@pytest.mark.parametrize("name", ["ALICE@Example.COM", "  alice ", "Alice", "ａｌｉｃｅ"])
def test_names_are_compared_without_regard_to_case_width_and_blanks(database: Database, name: str) -> None:
    user = make(database)

    with database.reading() as tx:
        found, known = find_by_login_name(tx, name), find_known_person(tx, name)

    assert found is not None
    assert known is not None
    assert found.id == user.id
    assert (known.id, known.epoch, known.password_hash) == (user.id, user.epoch, user.password_hash)
    assert "password_hash" not in repr(known)


@pytest.mark.parametrize(
    "name", ["", " ", "bob", "alice@example.org", "a\x00lice", "alice\ud800", "x" * 100_000, "%", "_____"]
)
def test_nonsense_finds_nobody_and_raises_nothing(database: Database, name: str) -> None:
    make(database)

    with database.reading() as tx:
        assert find_by_login_name(tx, name) is None
        assert find_known_person(tx, name) is None
        assert find_by_sub(tx, name) is None


@pytest.mark.parametrize("text", ["ß", "İstanbul", "ᾳ", "\u037a", "\u03d2", "\u03d4", "\u01f0", "\u0345\u0301"])
def test_the_normal_form_of_a_name_is_its_own_normal_form(text: str) -> None:
    once = normalize_login_name(text)

    assert normalize_login_name(once) == once
    assert unicodedata.is_normalized("NFKC", once)


@pytest.mark.spec("OIDC Core", "2")
def test_sub_is_random_and_the_identifier_carries_its_shard(database: Database) -> None:
    first = make(database)
    second = make(database, "bob@example.com", "bob")

    assert first.sub != second.sub
    assert len(first.sub) == 26  # 128 bits in base32hex
    assert "alice" not in first.sub
    assert shard_key_in(first.id) == shard_key_of(first.sub)


@pytest.mark.parametrize(
    "email",
    [
        "alice",
        "alice@",
        "@example.com",
        "a b@example.com",
        "a@b@example.com",
        "alice@exa mple.com",
        "a\x00@example.com",
        "a\ud800@example.com",
        "x" * 250 + "@example.com",
        "alice@example.com\nbcc:eve@example.com",
        "",
    ],
)
def test_what_is_no_email_address_is_refused_by_a_sentence(database: Database, email: str) -> None:
    problems = refusals(database, email, "alice")

    assert [problem.field for problem in problems] == ["email"]
    make(database, "alice@example.com", "alice")


@pytest.mark.parametrize(
    "email", ["alice@corp.local", "alice@localhost", "o'hara+tag@example.com", "jürgen@example.com"]
)
def test_unusual_but_real_addresses_are_admitted(database: Database, email: str) -> None:
    assert make(database, email, None).email is not None


@pytest.mark.parametrize(
    "username", ["", "a@b", "a b", ".alice", "alice-", "аlice", "x" * 65, "a\x00b", "a/b", "alice\n."]
)
def test_what_is_no_username_is_refused_by_a_sentence(database: Database, username: str) -> None:
    problems = refusals(database, "alice@example.com", username)

    assert [problem.field for problem in problems] == ["username"]


def test_an_account_without_any_name_is_refused(database: Database) -> None:
    assert len(refusals(database, None, None)) == 1


def test_claims_that_cannot_be_stored_are_refused(database: Database) -> None:
    with database.transaction() as tx:
        problems = create_user(tx, email="a@example.com", password_hash=None, claims={"name": ["a\x00"]}, now=NOW)

    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["claims"]


def test_a_name_that_is_taken_is_refused_in_every_spelling_and_the_transaction_goes_on(database: Database) -> None:
    make(database)

    with database.transaction() as tx:
        problems = create_user(tx, email="ALICE@example.com", username="Alice", password_hash="h", now=NOW)
        other = create_user(tx, email="bob@example.com", username="bob", password_hash="h", now=NOW)

    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["email", "username"]
    assert isinstance(other, User)
    with database.reading() as tx:
        assert [user.username for user in list_users(tx)] == ["alice", "bob"] or len(list_users(tx)) == 2


def test_of_many_who_want_one_name_at_once_exactly_one_gets_it(database: Database) -> None:
    barrier = threading.Barrier(12)

    def try_once(number: int) -> bool:
        barrier.wait()
        with database.transaction() as tx:
            made = create_user(tx, email=f"p{number}@example.com", username="alice", password_hash="h", now=NOW)
            return isinstance(made, User)

    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(try_once, range(12)))

    assert won.count(True) == 1
    with database.reading() as tx:
        assert tx.scalar(select(func.count()).select_from(User)) == 1


def test_creating_a_person_leaves_one_audit_row_in_the_same_commit(database: Database) -> None:
    user = make(database)

    with database.reading() as tx:
        events = tx.scalars(select(AuditEvent)).all()
    assert [(event.kind, event.user_id) for event in events] == [("user_created", user.id)]


def test_a_deleted_person_is_not_found_and_not_listed(database: Database) -> None:
    user = make(database)
    with database.transaction() as tx:
        tx.merge(user).deleted_at = NOW

    with database.reading() as tx:
        assert find_by_login_name(tx, "alice") is None
        assert find_known_person(tx, "alice") is None
        assert find_user(tx, user.id) is None
        assert find_by_sub(tx, user.sub) is None
        assert list_users(tx) == []


def test_a_disabled_person_is_found_so_that_the_refusal_costs_the_same(database: Database) -> None:
    user = make(database)
    with database.transaction() as tx:
        tx.merge(user).disabled_at = NOW

    with database.reading() as tx:
        assert find_by_login_name(tx, "alice") is not None
        assert find_known_person(tx, "alice") is not None


def test_a_hash_is_renewed_only_while_it_is_the_old_one(database: Database) -> None:
    user = make(database)

    with database.transaction() as tx:
        assert replace_password_hash(tx, user_id=user.id, old_hash="h", new_hash="new")
    with database.transaction() as tx:
        assert not replace_password_hash(tx, user_id=user.id, old_hash="h", new_hash="late")

    with database.reading() as tx:
        assert [one.password_hash for one in list_users(tx)] == ["new"]
