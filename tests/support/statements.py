"""Counting what is sent to the database: each statement as often as the driver sends it.

SQLAlchemy calls one execution with many sets of parameters one statement; psycopg sends one per set then. SQLite, to
which nothing is sent, prepares one for all sets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

TRANSACTION_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@contextmanager
def statements_of(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent meanwhile, without BEGIN and the like."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(TRANSACTION_WORDS):
            sent.append(statement)

    def note_repetitions(_cursor: Any, statement: str, parameter_sets: Any, _context: Any) -> None:
        if engine.dialect.name == "postgresql":
            sent.extend([statement] * (len(parameter_sets) - 1))

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "do_executemany", note_repetitions)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "do_executemany", note_repetitions)
