"""Starts the programs of a crash run quickly: a process that has imported everything forks them.

Importing is most of a start, seconds on a busy machine, and a run makes hundreds. What a program does after that is its
own: settings, application, connections and threads are made in the fork. The nursery has one thread, opens nothing, and
ends all its children when whoever started it goes. `python -m tests.crash.nursery` speaks JSON lines.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from idp.cli.serve import server_command

RESTART_SECONDS = 0.2
ROOT = Path(__file__).resolve().parents[2]
# `idp.wsgi` stays out: it reads the settings when it is imported.
_EVERYTHING = (
    "gunicorn.app.wsgiapp",
    "idp.app",
    "idp.cli.database",
    "idp.cli.gunicorn_hooks",
    "idp.cli.gunicorn_worker",
    "idp.cli.main",
    "idp.worker",
)
_COMMAND = "idp"
_SERVER = "gunicorn"


class Nursery:
    """The nursery as seen by the run."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def start_node(self, port: int, environment: dict[str, str]) -> int:
        """What `idp serve` starts, with one process of eight threads, so that a kill hits many requests at once."""
        command = server_command(_SERVER, host="127.0.0.1", port=port, workers=1, threads=8)
        return self._start(command[command.index(_SERVER) :], environment)

    def start(self, *arguments: str, environment: dict[str, str], restarts: bool = False) -> int:
        """A command of `idp`; returns a process id. `restarts`: again whenever it fails, as supervisors do."""
        return self._start([_COMMAND, *arguments], environment, restarts=restarts)

    def wait(self, pid: int) -> int:
        """The exit status of a program that ends."""
        return int(self._ask({"wait": pid})["status"])

    def end(self) -> None:
        """Kill whatever is left."""
        self._process.communicate(timeout=60)  # closes its standard input

    def _start(self, arguments: list[str], environment: dict[str, str], *, restarts: bool = False) -> int:
        order = {"arguments": arguments, "environment": environment, "restarts": restarts, "log": str(self._log)}
        return int(self._ask(order)["pid"])

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


# ── In the nursery ──


def main() -> None:
    """Import, then do as told until standard input closes."""
    for module in _EVERYTHING:
        importlib.import_module(module)
    alive: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            alive.discard(order["wait"])
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                _become(order["arguments"], order["environment"], Path(order["log"]), restarts=order["restarts"])
            alive.add(pid)
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in alive:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _become(arguments: list[str], environment: dict[str, str], log: Path, *, restarts: bool) -> None:
    """In the child: be that program until it ends. Does not return."""
    status = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            for standard in (1, 2):
                os.dup2(output.fileno(), standard)
        while restarts and (child := os.fork()):
            if os.waitpid(child, 0)[1] == 0:
                os._exit(0)
            time.sleep(RESTART_SECONDS)
        status = _run(arguments[0])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(program: str) -> int:
    try:
        if program == _COMMAND:
            from idp.cli.main import main as command

            command()
        else:
            from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]

            run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main()
