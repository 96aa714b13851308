"""Fixed statements on PostgreSQL: nothing is cut off, nothing is left behind, and no connection is lost or shared."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    bindparam,
    column,
    create_engine,
    func,
    insert,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from idp.db.bounded import BoundedConnection
from idp.db.driver import OnDriver
from idp.db.engine import Database, engine_options, normalized_url
from idp.db.fixed import FixedStatement
from idp.db.places import Places
from idp.db.silence import DatabaseBusy


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    """With two connections, for which nobody waits for long."""
    url = normalized_url(postgresql_url)
    engine = create_engine(url, **{**engine_options(url, 2), "pool_timeout": 0.01})
    yield Database(engine)
    engine.dispose()


def process(database: Database) -> FixedStatement:
    """Which of the server's processes answers: one for each connection."""
    number = func.pg_backend_pid(type_=Integer()).label("number")
    return FixedStatement(select(number), (number,), database.engine.dialect)


def echo(database: Database) -> FixedStatement:
    given = bindparam("given", type_=String())
    length = func.length(given, type_=Integer()).label("length")
    return FixedStatement(select(length), (given.label("given"), length), database.engine.dialect)


def ask(database: Database, statement: FixedStatement, **values: Any) -> Any:
    with database.autocommit() as statements:
        return statements.one_or_none(statement, values)


def interrupt(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while an answer is on its way."""

    def press(*_: object) -> Any:
        raise KeyboardInterrupt

    statement = process(database)
    with monkeypatch.context() as patch:
        patch.setattr(OnDriver, "_answer", press)
        with pytest.raises(KeyboardInterrupt):
            ask(database, statement)


def test_loans_and_ordinary_connections_share_one_limit(database: Database) -> None:
    who = process(database)

    with database.autocommit() as first, database.autocommit() as second:
        numbers = {one.one_or_none(who, {}).number for one in (first, second)}
        with pytest.raises(PoolTimeout):
            database.engine.connect()
    with database.engine.connect(), database.engine.connect(), pytest.raises(PoolTimeout):
        ask(database, who)

    assert len(numbers) == 2
    assert ask(database, who).number in numbers


def test_the_connection_used_last_is_used_first(database: Database) -> None:
    who = process(database)
    with database.autocommit() as outer:
        with database.autocommit() as inner:
            given_back_first = inner.one_or_none(who, {}).number
        given_back_last = outer.one_or_none(who, {}).number

    assert given_back_first != given_back_last
    assert [ask(database, who).number for _ in range(3)] == [given_back_last] * 3


def test_what_the_server_has_forgotten_is_prepared_again(database: Database) -> None:
    """Behind pgbouncer a connection may reach another server process, or one that was emptied."""
    who = process(database)
    number = ask(database, who).number
    with database.engine.connect() as connection:
        connection.execute(text("DEALLOCATE ALL"))

    assert ask(database, who).number == number
    assert ask(database, who).number == number


def test_reading_does_not_make_the_server_forget(database: Database) -> None:
    """At a rollback psycopg sends DEALLOCATE ALL, once it has prepared anything itself."""
    who = process(database)
    ask(database, who)
    for _ in range(10):  # more often than it takes psycopg to prepare a statement
        with database.transaction() as tx:
            tx.execute(text("SELECT 1"))
        with database.reading() as tx:
            tx.execute(text("SELECT 1"))

    with database.engine.connect() as connection:
        names = set(connection.scalars(text("SELECT name FROM pg_prepared_statements")))

    assert who.name.decode() in names
    assert len(names) > 1


def test_what_the_server_knows_from_somebody_else_is_the_same_statement(database: Database) -> None:
    """Behind pgbouncer processes of ours share server connections, in which each believes it is the first."""
    who, said = process(database), echo(database)
    number = ask(database, who).number
    ask(database, said, given="before")

    with OnDriver(database.engine, None) as statements:
        statements._prepared.clear()

    assert ask(database, who).number == number
    assert ask(database, said, given="after").given == "after"
    assert who.name == process(database).name != said.name


def test_whoever_is_interrupted_takes_the_connection_along(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer is on its way: nobody may take it for the next one's."""
    who, said = process(database), echo(database)
    number = ask(database, who).number
    ask(database, said, given="before")

    interrupt(database, monkeypatch)

    assert ask(database, said, given="mine").given == "mine"
    assert ask(database, who).number != number


def test_a_text_is_never_cut_off_at_a_nul(database: Database) -> None:
    """libpq ends a text parameter there, and the database would be asked about another one."""
    said = echo(database)

    with pytest.raises(DataError):
        ask(database, said, given="user\0nobody")

    assert ask(database, said, given="a\u00e9\U0001f600").length == 3


def test_texts_are_utf_8_whatever_the_surroundings_say(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a database or an account of another encoding decides what our bytes mean."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    said = echo(database)

    answer = ask(database, said, given="J\u00fcrgen")

    assert (answer.given, answer.length) == ("J\u00fcrgen", 6)


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63)])
def test_whole_numbers_arrive_as_they_are(database: Database, number: int) -> None:
    column = (bindparam("given", type_=BigInteger()) + literal(0, Integer())).label("number")
    statement = FixedStatement(select(column), (column,), database.engine.dialect)

    assert ask(database, statement, given=number).number == number


def test_what_fails_at_the_commit_is_the_databases_error_and_no_answer(database: Database) -> None:
    """The row has arrived by then: PostgreSQL commits, or is told to stop, after it has sent it."""
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE once (number bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        connection.execute(text("INSERT INTO once VALUES (1)"))
    once = table("once", column("number", BigInteger))
    given = {"number": bindparam("number", type_=BigInteger())}
    statement = FixedStatement(insert(once).values(given), (once.c.number,), database.engine.dialect)

    with pytest.raises(IntegrityError):
        ask(database, statement, number=1)

    assert ask(database, statement, number=2).number == 2


def test_a_place_is_given_back_whatever_happens(postgresql_url: str) -> None:
    url = normalized_url(postgresql_url)
    engine = create_engine(url, **{**engine_options(url, 1), "pool_timeout": 0.01})
    places = Places(1, timeout=0.01)
    database = Database(engine)
    who = process(database)

    with database.autocommit(), pytest.raises(PoolTimeout), OnDriver(engine, places):
        pass
    for _ in range(2):
        with OnDriver(engine, places) as statements:
            assert statements.one_or_none(who, {}).number
            with pytest.raises(DatabaseBusy):
                places.take()
    engine.dispose()


def test_a_server_that_is_away_keeps_no_place(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a first connection that fails nor one in the place of another that was lost."""
    who = process(database)

    def fail(*_: object, **__: object) -> Any:
        raise psycopg.OperationalError("gone")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(BoundedConnection, "connect", fail)
            for _ in range(3):  # more often than there are connections
                with pytest.raises(OperationalError):
                    ask(database, who)
        with database.autocommit() as one, database.autocommit() as other:
            assert one.one_or_none(who, {}).number != other.one_or_none(who, {}).number
        interrupt(database, monkeypatch)
