"""Connections that died in the pool, after a restart of PostgreSQL or of a proxy, are thrown away before they are used.

A server says nothing on an idle connection, and what it does when it goes is readable: its farewell or the end of the
stream. Looking costs one system call and no round trip. Nothing was sent yet, so nothing is ever asked twice: a lost
answer to a commit stays an error. Whoever finds one dead connection makes the pool forget all of that age.
"""

import select
from typing import Any

from psycopg.pq import ConnStatus
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

_WATCH = "idp_watch"
_IS_NEW = "idp_is_new"


def replace_stale_connections(engine: Engine) -> None:
    """Let the engine look at each connection before it hands it out. PostgreSQL only."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, record: Any) -> None:
        watch = select.poll()
        watch.register(connection.pgconn.socket, select.POLLIN)
        record.info[_WATCH], record.info[_IS_NEW] = watch, True

    @event.listens_for(engine, "checkout")
    def _on_checkout(_connection: Any, record: Any, _fairy: Any) -> None:
        if is_stale(record):
            raise InvalidatePoolError


def is_stale(entry: ConnectionPoolEntry) -> bool:
    """Whether an open connection of the pool has died. One that was just made has not: it is asked at its first use."""
    info, connection = entry.info, entry.dbapi_connection
    # The pool replaces a connection once, and takes a second complaint for an error of the program's.
    if info.pop(_IS_NEW, False) or connection is None:
        return False
    watch = info.get(_WATCH)
    return bool(connection.pgconn.status != ConnStatus.OK or (watch is not None and watch.poll(0)))
