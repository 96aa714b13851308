"""A PostgreSQL server that belongs to one crash run: durable as its default is, stopped the hard way, started again.

The programs reach it through our proxy, which can cut their connections. Where we may mount (as root, on Linux) its
data lie on a small file system of their own, which `fill` fills up. A kill and an immediate stop lose what was not
written to the operating system; only a power cut loses more, which needs another machine than this.
"""

import os
import shutil
import signal
import subprocess
from contextlib import suppress

import psycopg
from sqlalchemy import make_url

from tests.support.postgres_proxy import PostgresProxy
from tests.support.postgres_server import (
    find_binaries,
    launch,
    make_data,
    make_folder,
    reachable_binaries,
    server_account,
    stop,
)

SIZE = "384m"
DATABASE = "crash"


class OwnPostgres:
    """One server with one database. `url` is the direct way to it, `service_url` that of the programs, by the proxy."""

    def __init__(self, *, small_disk: bool = False) -> None:
        self._account = server_account()
        self.folder = make_folder(self._account)
        self._is_mounted = small_disk and self._mount()
        self._binaries = reachable_binaries(self._account, find_binaries(), self.folder)
        # Small segments, none kept for later: a full disk is noticed at the next one.
        make_data(self.folder, self._account, self._binaries, "--wal-segsize=1")
        self._server = self._launch()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        self.url = f"postgresql+psycopg://idp@/{DATABASE}?host={self.folder}"
        self.proxy = PostgresProxy(make_url(self.url))
        self.proxy.__enter__()
        self.service_url = self.proxy.url

    @property
    def can_be_full(self) -> bool:
        """Whether `fill` can be used."""
        return self._is_mounted

    def connect(self, database: str = DATABASE) -> psycopg.Connection:
        """A connection past everything, in autocommit mode."""
        return psycopg.connect(host=str(self.folder), user="idp", dbname=database, autocommit=True, connect_timeout=5)

    def stop_immediately(self) -> None:
        """As `pg_ctl stop -m immediate`: no checkpoint, nothing finished; the next start recovers."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(60)

    def start(self) -> None:
        """Start again, unless it still runs."""
        if self._server.poll() is not None:
            self._server = self._launch()

    def fill(self) -> None:
        """Leave no byte on the file system of the data."""
        ballast, size = self.folder / "ballast", 1 << 20
        with ballast.open("wb", buffering=0) as file:
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def complaints(self) -> int:
        """How often the server found no room so far."""
        return (self.folder / "log").read_bytes().count(b"No space left on device")

    def make_room(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)

    def end(self) -> None:
        self.proxy.__exit__(None)
        stop(self._server)
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self) -> subprocess.Popen[bytes]:
        return launch(
            self.folder,
            self._account,
            self._binaries,
            fsync="on",
            full_page_writes="on",
            max_wal_size="64MB",
            wal_recycle="off",
            log_min_messages="error",
            log_min_error_statement="panic",
            max_connections="100",
        )

    def _mount(self) -> bool:
        if os.geteuid() != 0:
            return False
        options = f"size={SIZE},mode=0700,uid={self._account.uid},gid={self._account.gid}"
        with suppress(OSError):
            command = ["mount", "-t", "tmpfs", "-o", options, "idp-crash", str(self.folder)]
            return subprocess.run(command, check=False, capture_output=True).returncode == 0
        return False
