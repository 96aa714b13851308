"""Two service nodes and two workers over one database, all real processes, to be killed at will.

Whoever is killed is started again, as a supervisor would. The issuer is the first node's address; no load balancer:
clients try the other node themselves.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import requests

from tests.crash.nursery import Nursery
from tests.crash.own_postgres import OwnPostgres
from tests.crash.own_sqlite import OwnSqlite
from tests.support.processes import free_port

SECRET = "a secret for tests only, long enough to be taken"
NODES = (0, 1)
WORKERS = (2, 3)
# Short, so that what a killed worker held comes due again soon; everything else is as it is by default.
HASTE = {"IDP_DELIVERY_LEASE_LIFETIME": "2s", "IDP_DELIVERY_REQUEST_LIFETIME": "1s"}


class Cluster:
    """The installation; it owns its database. `folder` keeps its log."""

    def __init__(self, folder: Path, *, allow: str, database: OwnPostgres | OwnSqlite, **settings: str) -> None:
        self.database = database
        self.ports = [free_port(), free_port()]
        self.issuer = f"http://localhost:{self.ports[0]}"
        self.log = folder / "log.txt"
        self._nursery = Nursery(self.log)
        self._running: dict[int, int] = {}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("IDP_", "PROMETHEUS_"))}
        self.environment = {
            **clean,
            "IDP_DATABASE_URL": database.service_url,
            "IDP_SECRET": SECRET,
            "IDP_ISSUER": self.issuer,
            "IDP_VAR_DIR": str(folder),
            "IDP_OUTBOUND_ALLOW": allow,
            "IDP_LOG_LEVEL": "warning",
            **HASTE,
            **settings,
        }
        try:
            assert self._nursery.wait(self._nursery.start("init", environment=self.environment)) == 0
            for which in (*NODES, *WORKERS):
                self._start(which)
            for node in NODES:
                self.wait_for(node)
        except BaseException:
            self.end()
            raise

    @property
    def postgres(self) -> OwnPostgres:
        """The database, which must be this one."""
        assert isinstance(self.database, OwnPostgres)
        return self.database

    @property
    def pids(self) -> list[int]:
        """Every process of nodes and workers."""
        return [pid for root in self._running.values() for pid in _descend(root)]

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
        servers = _children(self._running[node])
        assert servers, "the server is between two lives"
        for pid in servers:
            os.kill(pid, signal.SIGKILL)

    def _kill_family(self, which: int) -> None:
        # All by name: a server's children would go on for a moment when only their parent dies.
        for pid in _descend(self._running[which]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._nursery.wait(self._running[which])

    def end(self) -> None:
        for which in self._running:
            self._kill_family(which)
        self._nursery.end()
        self.database.end()

    def _start(self, which: int) -> None:
        if which in NODES:
            self._running[which] = self._nursery.start_node(self.ports[which], self.environment)
        else:
            # It refuses to start without a database, and is started again.
            self._running[which] = self._nursery.start("worker", environment=self.environment, restarts=True)


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
