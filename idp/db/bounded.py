"""Connections to PostgreSQL that never wait for ever: a database that says nothing is an error, and not a hang.

The server's own time-outs are worth nothing when it is the server that hangs, or a proxy or a network in front of it
that takes everything and answers nothing; TCP's notice only a host that vanished. So the client counts too. What was
asked for in vain may still happen: whoever asked has an error, which says nothing about the fate of the statement.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event

from idp.db.silence import Silence

T = TypeVar("T")

# A person or a program waits for the answer, and is told 503 after this. Longer than the server waits for a lock.
REQUEST_SECONDS = 4.5
# For what works in batches: the server's statement_timeout (30 s) speaks first, if it can speak.
BATCH_SECONDS = 35.0


class BoundedConnection(psycopg.Connection[Any]):
    """Waits for each answer of the server for `answer_seconds` at most, then closes and raises `OperationalError`."""

    answer_seconds: ClassVar[float]
    silence: ClassVar[Silence]

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Every method that talks to the server comes through here."""
        try:
            answer = super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError:
            # Half an answer may still come: nobody must take it for the next one's. Closed, the pool throws it away.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.silence.notice()
                self.pgconn.finish()
            raise
        if self.silence.is_on:
            self.silence.end()
        return answer


def bounded_by(seconds: float, silence: Silence | None = None) -> type[BoundedConnection]:
    """The class of connections with this bound."""
    return type("BoundedConnection", (BoundedConnection,), {"answer_seconds": seconds, "silence": silence or Silence()})


def bound_answers(engine: Engine, seconds: float, silence: Silence) -> None:
    """Let the engine make its connections so, and note in `silence` when one is waited for in vain."""
    kind = bounded_by(seconds, silence)

    def connect(_dialect: Any, _record: Any, positional: list[Any], named: dict[str, Any]) -> BoundedConnection:
        try:
            connection = kind.connect(*positional, **named)
        except errors.ConnectionTimeout:
            silence.notice()
            raise
        except psycopg.OperationalError:
            silence.end()  # refused, at once: nobody waits in vain
            raise
        silence.end()
        return connection

    listener: Callable[..., BoundedConnection] = connect
    event.listen(engine, "do_connect", listener)
