"""The command `idp` for shells of tests, without the wait for its imports: a process that has them forks each call.

Importing is nine tenths of a command, and a runbook has dozens. `folder/bin/idp` hands its arguments, environment,
working directory, umask and its own three standard streams to that process; a fork of it becomes the command, from
`main` on, and tells its exit status. What the installed program does before `main`: tests/browser/demo.py runs it.
"""

import importlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
# `idp.wsgi` stays out: it reads the settings when it is imported.
_EVERYTHING = ("idp.app", "idp.worker", *(f"idp.cli.{name}" for name in ("clients", "database", "keys", "users")))
_CALLER = """
import json, os, socket, sys
umask = os.umask(0)
order = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd(), "umask": umask}
with socket.socket(socket.AF_UNIX) as way:
    way.connect(sys.argv[1])
    socket.send_fds(way, [b"."], [0, 1, 2])
    way.sendall(json.dumps(order).encode())
    way.shutdown(socket.SHUT_WR)
    sys.exit(int(way.recv(10) or 1))
"""


@contextmanager
def ready_commands(folder: Path) -> Iterator[Path]:
    """A folder for the PATH with `idp` in it, for as long as the context lasts. `folder` is for this alone."""
    address, program, caller = folder / "socket", folder / "bin" / "idp", folder / "caller.py"
    caller.write_text(_CALLER)
    program.parent.mkdir()
    told = shlex.join([sys.executable, "-I", "-S", str(caller), str(address)])
    program.write_text(f'#!/bin/sh\nexec {told} "$@"\n')
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(20)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ready_commands", str(listener.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
    try:
        yield program.parent
    finally:
        server.kill()
        server.wait()


# ── In the process that has imported everything ──


def main(listener: socket.socket) -> NoReturn:
    """Fork whatever is asked for, until killed."""
    for module in _EVERYTHING:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        way, _ = listener.accept()
        with way:
            if os.fork() == 0:
                listener.close()
                _become(way)


def _become(way: socket.socket) -> NoReturn:
    """In the fork: be the command."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, streams, _, _ = socket.recv_fds(way, 1, 3)
        order = json.loads(b"".join(iter(lambda: way.recv(65536), b"")))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        os.umask(order["umask"])
        sys.argv = ["idp", *order["arguments"]]
        status = _run()
    except Exception:  # noqa: BLE001 - as the interpreter does with a program
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        way.sendall(str(status).encode())
        os._exit(status)


def _run() -> int:
    from idp.cli import main as command

    try:
        command(prog_name="idp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
