"""Two service nodes and two workers over one PostgreSQL behind our proxy, all real processes, to be killed at will.

Whoever is killed is started again, as a supervisor would. The issuer is the first node's address; no load balancer:
clients try the other node themselves.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import requests
from sqlalchemy import make_url

from tests.crash.own_postgres import OwnPostgres
from tests.support.postgres_proxy import PostgresProxy

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret for tests only, long enough to be taken"
NODES = (0, 1)
WORKERS = (2, 3)
DATABASE = "crash"
# Short, so that what a killed worker held comes due again soon; everything else is as it is by default.
HASTE = {"IDP_DELIVERY_LEASE_LIFETIME": "2s", "IDP_DELIVERY_REQUEST_LIFETIME": "1s"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Cluster:
    """The installation. `folder` keeps its log."""

    def __init__(self, folder: Path, *, allow: str, small_disk: bool = False, **settings: str) -> None:
        self.postgres = OwnPostgres(small_disk=small_disk)
        self.proxy = PostgresProxy(make_url(self.direct_url))
        self.ports = [free_port(), free_port()]
        self.issuer = f"http://localhost:{self.ports[0]}"
        self.log = folder / "log.txt"
        self._output = self.log.open("ab")
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        try:
            self.postgres.run(f"CREATE DATABASE {DATABASE}")
            self.proxy.__enter__()
            clean = {name: value for name, value in os.environ.items() if not name.startswith(("IDP_", "PROMETHEUS_"))}
            self.environment = {
                **clean,
                "IDP_DATABASE_URL": self.proxy.url,
                "IDP_SECRET": SECRET,
                "IDP_ISSUER": self.issuer,
                "IDP_VAR_DIR": str(folder),
                "IDP_OUTBOUND_ALLOW": allow,
                "IDP_LOG_LEVEL": "warning",
                **HASTE,
                **settings,
            }
            self._call("init")
            for which in (*NODES, *WORKERS):
                self._start(which)
            for node in NODES:
                self.wait_for(node)
        except BaseException:
            self.end()
            raise

    @property
    def direct_url(self) -> str:
        """Past the proxy."""
        return self.postgres.url(DATABASE)

    def url(self, node: int, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[node]}{path}"

    def wait_for(self, node: int) -> None:
        """Until a node answers."""
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            try:
                if requests.get(self.url(node, "/healthz"), timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError(f"node {node} does not come up")

    def kill(self, *which: int) -> None:
        """SIGKILL to programs and all of their processes, in the middle of whatever they do; then start them again."""
        for one in which:
            self._kill_family(one)
        for one in which:
            self._start(one)

    def kill_serving(self, node: int) -> None:
        """SIGKILL to the process of a node that answers requests; its server forks the next one."""
        parents = {pid: parent for parent in _descend(self._running[node].pid) for pid in _children(parent)}
        servers = [pid for pid, parent in parents.items() if parent in parents and not _children(pid)]
        assert servers, "the server is between two lives"
        for pid in servers:
            os.kill(pid, signal.SIGKILL)

    def _kill_family(self, which: int) -> None:
        # All by name: what a server's children are sent when only their parent dies is SIGTERM (idp/cli/leashed.py).
        for pid in _descend(self._running[which].pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._running[which].wait()

    def end(self) -> None:
        for which in self._running:
            self._kill_family(which)
        self.proxy.__exit__(None)
        self.postgres.end()
        self._output.close()

    def _call(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "idp.cli", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True, timeout=120)

    def _start(self, which: int) -> None:
        # One process with the threads of two, so that a kill hits many requests at once.
        serve = ("serve", "--workers", "1", "--threads", "8", "--without-worker", "--port")
        arguments = (*serve, str(self.ports[which])) if which in NODES else ("worker",)
        self._running[which] = subprocess.Popen(
            [sys.executable, "-m", "idp.cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )


def _children(pid: int) -> list[int]:
    """The processes that this one started; Linux says so itself, elsewhere `ps` does."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if listed.exists():
        return [int(child) for child in listed.read_text().split()]
    told = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(child) for child in told.split()]


def _descend(pid: int) -> list[int]:
    """A process and all that come from it."""
    return [pid, *(found for child in _children(pid) for found in _descend(child))]
