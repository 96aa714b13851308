"""The pool of connections to PostgreSQL, which can also lend one as it lies there.

What SQLAlchemy does around a checkout (a proxy object, a rollback, a safety net for the careless) protects those who
may leave something behind. A fixed statement is a transaction of its own and leaves nothing. The connection used last
is handed out first: its server process and our memory of it are still warm, and the others may rest.
"""

from typing import Any

from sqlalchemy import QueuePool
from sqlalchemy.pool import ConnectionPoolEntry

from idp.db.silence import DatabaseBusy, Silence
from idp.db.stale import is_stale


class LendingPool(QueuePool):
    """A `QueuePool`; both ways of taking share its connections and its limit."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        """As `QueuePool`, last in, first out."""
        super().__init__(*positional, **{**named, "use_lifo": True})
        self.silence = Silence()

    def recreate(self) -> "LendingPool":
        """As `QueuePool`; it goes on listening."""
        pool: LendingPool = super().recreate()  # type: ignore[assignment]
        pool.silence = self.silence
        return pool

    def lend(self) -> ConnectionPoolEntry:
        """An open connection, which nobody else has until `take_back`. Raises what the driver raises."""
        entry = self._opened()
        if is_stale(entry):
            # The ordinary way finds it too, and makes the pool forget all of its age.
            self.take_back(entry)
            self.connect().close()
            entry = self._opened()
        return entry

    def take_back(self, entry: ConnectionPoolEntry) -> None:
        """The end of a loan. The connection must be idle, or invalidated."""
        self._do_return_conn(entry)

    def _do_get(self) -> Any:
        """Both ways of taking come by here, and may wait here."""
        self.silence.check()
        entry: Any = super()._do_get()
        try:
            self.silence.check()
        except DatabaseBusy:
            self._do_return_conn(entry)
            raise
        return entry

    def _create_connection(self) -> ConnectionPoolEntry:
        """For who finds none, and for who waited until those who were making theirs gave up."""
        self.silence.check()
        return super()._create_connection()

    def _opened(self) -> ConnectionPoolEntry:
        entry: Any = self._do_get()
        try:
            entry.get_connection()
        except BaseException:
            self.take_back(entry)
            raise
        lent: ConnectionPoolEntry = entry
        return lent
