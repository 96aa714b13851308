"""The web servers under test: the provider as `idp serve` starts it, and the empty endpoint with the same options.

Logging and metrics are as they come; the log goes to a file, as it would to a journal. No worker runs: what telling
applications costs is not part of any request. Both servers have two processes, as `idp serve` has by default.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import NotPossible
from idp.cli.serve import server_command

WORKERS, THREADS = 2, 8
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A web server that answers."""

    pid: int
    port: int


def free_port() -> int:
    """A port of the loopback address on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def provider(kind: str, *, port: int, environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    """`idp serve` on one of its servers."""
    command = [sys.executable, "-m", "idp.cli", "serve", "--without-worker", "--server", kind, "--port", str(port)]
    with _running(command, port, "/oauth2/jwks", {**os.environ, **environment}, log) as server:
        yield server


@contextmanager
def empty_endpoint(kind: str, *, log: Path) -> Iterator[Server]:
    """The yardstick on the same server."""
    port = free_port()
    command = server_command(kind, host="127.0.0.1", port=port, workers=WORKERS, threads=THREADS)
    for option in ("-c", "--logger-class"):  # ours, about our application
        if option in command:
            place = command.index(option)
            del command[place : place + 2]
    command[-1] = "benchmarks.bare:app"
    with _running(command, port, "/bare", dict(os.environ), log) as server:
        yield server


@contextmanager
def _running(command: list[str], port: int, path: str, environment: dict[str, str], log: Path) -> Iterator[Server]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotPossible(f"The server did not start: {' '.join(command)}\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield Server(process.pid, port)
    finally:
        process.send_signal(signal.SIGINT)  # which does not wait for a load balancer to turn away, as SIGTERM does
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
