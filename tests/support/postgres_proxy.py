"""A TCP proxy in front of PostgreSQL that understands enough of its protocol to see commits pass, and can misbehave.

It can cut a connection just before a commit reaches the server or just after the server has done it, be away (refuse
everybody), or hang (take everything and forward nothing). It serves tests of what a service does about all that, and
has no other use: no TLS, no authentication of its own. Protocol 3.0, simple and extended queries.
"""

import asyncio
import re
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any

from sqlalchemy import URL

_TLS_REQUESTS = frozenset({80877103, 80877104})  # SSLRequest, GSSENCRequest
_CANCEL_REQUEST = 80877102
_COMMIT = re.compile(rb"\s*(COMMIT|END)\b", re.IGNORECASE)
_WRITE = re.compile(rb"\s*(INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)


class Cut(StrEnum):
    """Where a connection is cut: the client can't tell the two apart, the database can."""

    BEFORE_COMMIT = "before"
    AFTER_COMMIT = "after"


@dataclass
class _Plan:
    where: Cut
    after: int  # so many commits pass first


@dataclass(eq=False)
class _Connection:
    """One client's way to the server, and what we know of its state."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    statements: dict[bytes, bytes] = field(default_factory=dict)
    bound: bytes = b""
    is_idle: bool = True  # outside a transaction, by the server's own word
    commits: bool = False  # what was sent since the last Sync commits when it arrives
    mute: bool = False  # the answer to a commit that was let through stays here

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


class PostgresProxy:
    """Listens on a port of 127.0.0.1 and forwards to the server. Thread-safe; runs in a thread of its own."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgres-proxy", daemon=True)
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._plans: list[_Plan] = []
        self.port = 0
        self.cuts = 0

    def __enter__(self) -> "PostgresProxy":
        self._thread.start()
        self.come_back()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.go_away()
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The server's database, by way of this proxy."""
        way = self._server.set(host="127.0.0.1", port=self.port, query={"sslmode": "disable"})
        return way.render_as_string(hide_password=False)

    # ── What tests ask for ──

    def cut(self, where: Cut, *, after: int = 0) -> None:
        """Cut the connection of the next commit, once `after` others have passed."""
        self._plans.append(_Plan(where, after))

    def forget_cuts(self) -> int:
        """Take back the cuts that have not happened yet; returns how many."""
        open_plans, self._plans = len(self._plans), []
        return open_plans

    def go_away(self) -> None:
        """Cut everybody and refuse new connections."""
        self._run(self._go_away())

    def come_back(self) -> None:
        """Listen, on the same port as ever."""
        self._run(self._listen())

    def hang(self) -> None:
        """Take whatever comes and forward nothing, in both directions; new connections get no answer either."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """The opposite of `hang`."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # ── In the loop's thread ──

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _go_away(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close()

    async def _end(self) -> None:
        self._flows.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side went, which is what this program is for
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await self._read_startup(reader, writer)
        from_server, to_server = await self._connect()
        to_server.write(startup)
        if struct.unpack("!I", startup[4:8])[0] == _CANCEL_REQUEST:
            await to_server.drain()
            to_server.close()
            return
        connection = _Connection(writer, to_server)
        self._connections.add(connection)
        both = [asyncio.create_task(self._upstream(reader, connection))]
        both.append(asyncio.create_task(self._downstream(from_server, connection)))
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.close()
            self._connections.discard(connection)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder, port = self._server.query.get("host"), self._server.port or 5432
        if isinstance(folder, str):
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        return await asyncio.open_connection(self._server.host or "127.0.0.1", port)

    async def _read_startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            await self._flows.wait()
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            if code not in _TLS_REQUESTS:
                return head + await reader.readexactly(length - 8)
            writer.write(b"N")

    async def _upstream(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        while True:
            kind, message = await _read_message(reader)
            await self._flows.wait()
            if _commits(connection, kind, message):
                where = self._due()
                if where is not None:
                    self.cuts += 1
                if where is Cut.BEFORE_COMMIT:
                    return
                connection.mute = where is Cut.AFTER_COMMIT
            connection.server.write(message)
            await connection.server.drain()

    async def _downstream(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        while True:
            kind, message = await _read_message(reader)
            await self._flows.wait()
            is_ready = kind == b"Z"
            if is_ready:
                connection.is_idle = message[5:6] == b"I"
            if not connection.mute:
                connection.client.write(message)
                await connection.client.drain()
            elif is_ready:
                return

    def _due(self) -> Cut | None:
        for plan in self._plans:
            plan.after -= 1
        due = next((plan for plan in self._plans if plan.after < 0), None)
        if due is not None:
            self._plans.remove(due)
        return due.where if due else None


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!I", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


def _commits(connection: _Connection, kind: bytes, message: bytes) -> bool:
    """Whether this message makes the server commit; remembers what later messages of the extended protocol refer to."""
    body = message[5:]
    if kind == b"Q":
        return _is_commit(body, connection)
    if kind == b"P":
        name, statement, _ = body.split(b"\0", 2)
        connection.statements[name] = statement
    elif kind == b"B":
        connection.bound = body.split(b"\0", 2)[1]
    elif kind == b"E":
        connection.commits |= _is_commit(connection.statements.get(connection.bound, b""), connection)
    elif kind == b"S":
        commits, connection.commits = connection.commits, False
        return commits
    return False


def _is_commit(statement: bytes, connection: _Connection) -> bool:
    return bool(_COMMIT.match(statement) or (connection.is_idle and _WRITE.match(statement)))
