"""The one door to the database: a commit is on disk before an answer leaves, and an error never becomes an answer."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import InternalError, OperationalError

from idp.db.engine import Database, DatabaseBusy, Tx
from idp.db.models import User
from tests.support.characters import Provider, RelyingParty
from tests.support.databases import open_engine
from tests.support.heart import Heart
from tests.support.pages import Visitor


@pytest.fixture
def opened() -> Iterator[Callable[[str], Database]]:
    """Opens a database by its address, as the service does."""
    databases: list[Database] = []

    def open_one(url: str) -> Database:
        databases.append(Database(open_engine(url)))
        return databases[-1]

    yield open_one
    for database in databases:
        database.engine.dispose()


def test_sqlite_syncs_every_commit_to_the_disk(opened: Callable[[str], Database], sqlite_url: str) -> None:
    """I12. `synchronous=NORMAL` in WAL mode may lose commits that were acknowledged."""
    database = opened(sqlite_url)

    for begin in (database.transaction, database.reading):
        with begin() as tx:
            pragmas = {
                name: tx.execute(text(f"PRAGMA {name}")).scalar_one()
                for name in ("synchronous", "journal_mode", "foreign_keys")
            }

        assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


def test_postgresql_is_never_asked_to_answer_before_the_commit_is_on_disk(
    opened: Callable[[str], Database], postgresql_url: str
) -> None:
    """I12. What the server's configuration says stands; nothing of ours weakens it."""
    with opened(postgresql_url).transaction() as tx:
        source = tx.execute(text("SELECT source FROM pg_settings WHERE name = 'synchronous_commit'")).scalar_one()
        isolation = tx.execute(text("SHOW transaction_isolation")).scalar_one()

    assert source in {"default", "configuration file", "command line"}
    assert isolation == "read committed"


def test_a_transaction_that_raises_leaves_nothing_and_one_that_ends_leaves_everything(heart: Heart) -> None:
    person = heart.person()

    def rename(tx: Tx) -> None:
        tx.execute(update(User).where(User.id == person.id).values(username="renamed"))

    def rename_and_fail() -> None:
        with heart.database.transaction() as tx:
            rename(tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rename_and_fail()
    after_raising = heart.all(User)[0].username
    with heart.database.transaction() as tx:
        rename(tx)

    assert after_raising == person.username
    assert heart.all(User)[0].username == "renamed"


def test_what_is_written_while_only_reading_is_forgotten_or_refused(heart: Heart) -> None:
    person = heart.person()
    is_refused = nullcontext() if heart.database.is_sqlite else pytest.raises(InternalError, match="read-only")

    with is_refused, heart.database.reading() as tx:
        tx.execute(update(User).where(User.id == person.id).values(username="renamed"))
    with heart.database.reading() as tx:
        tx.get_one(User, person.id).username = "changed"  # an entity's change is not even sent

    assert heart.all(User)[0].username == person.username


def test_an_answer_with_tokens_is_not_given_when_the_commit_fails(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I12, I17: the code was good and the tokens were as good as made, but nothing of it is on disk."""
    code = rp.authorize(signed_in).code
    dialect = provider.services.database.engine.dialect

    def fail(connection: Any) -> None:
        connection.rollback()
        raise OperationalError("COMMIT", {}, OSError("the disk is full"))

    with monkeypatch.context() as failing:
        failing.setattr(dialect, "do_commit", fail)
        refused = rp.redeem(code)

    assert (refused.status, refused.error) == (503, "temporarily_unavailable")
    assert "access_token" not in refused
    assert rp.redeem(code).access_token  # nothing was used up


def test_a_writer_that_waits_too_long_for_the_embedded_database_is_told_so(
    opened: Callable[[str], Database], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened(sqlite_url)
    monkeypatch.setattr("idp.db.engine.SQLITE_WRITER_SECONDS", 0.01)

    with database.transaction():
        with pytest.raises(DatabaseBusy), database.transaction():
            pass
        with database.reading() as tx:  # readers are never in the way
            assert tx.execute(text("SELECT 1")).scalar_one() == 1
