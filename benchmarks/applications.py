"""Fifty applications that receive logout notices, in a process of their own: they answer 200 at once, or one never.

What arrives is written down with the moment of its last byte, on the clock that all processes of a machine share
(CLOCK_MONOTONIC), and looked at only after a run.
"""

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Arrival = tuple[float, int, bytes]


class Applications:
    """`ports` of `count` applications. With `has_dead`, the first takes connections and requests and says nothing."""

    def __init__(self, count: int, *, has_dead: bool) -> None:
        self.has_dead = has_dead
        self.dead = 0 if has_dead else -1
        self.ports: list[int] = []
        context = multiprocessing.get_context("spawn")
        self._answered: Synchronized[int] = context.Value("L", 0)
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(count, has_dead, theirs, self._answered), daemon=True)

    def __enter__(self) -> "Applications":
        self._process.start()
        self.ports = self._ours.recv()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.kill()
        self._process.join()

    def count_answered(self) -> int:
        """How many notices were answered since the last `take`."""
        return self._answered.value

    def take(self) -> list[Arrival]:
        """All notices since the last time that were answered: moment, port, body."""
        self._ours.send(None)
        arrived: list[Arrival] = self._ours.recv()
        return arrived


def _run(count: int, has_dead: bool, pipe: Connection, answered: "Synchronized[int]") -> None:
    asyncio.run(_serve(count, has_dead, pipe, answered))


async def _serve(count: int, has_dead: bool, pipe: Connection, answered: "Synchronized[int]") -> None:
    arrived: list[Arrival] = []

    def take() -> None:
        pipe.recv()
        given = arrived[:]
        arrived.clear()
        answered.value = 0
        pipe.send(given)

    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
            arrived.append((time.monotonic(), writer.get_extra_info("sockname")[1], body))
            answered.value += 1
            writer.write(_ANSWER)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass
        finally:
            writer.close()

    handlers = [dead if has_dead and number == 0 else healthy for number in range(count)]
    servers = [await asyncio.start_server(handler, "127.0.0.1", 0, backlog=1000) for handler in handlers]
    asyncio.get_running_loop().add_reader(pipe.fileno(), take)
    pipe.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()
