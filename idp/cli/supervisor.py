"""Runs a few child processes as one program: all start, and when one that matters ends or Ctrl-C comes, all end.

Children get a session of their own, so that Ctrl-C reaches only us and each is asked to finish in good order; they are
on a leash in case we are killed. A child that may be restarted comes back after a growing pause.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import structlog

GRACE_SECONDS = 35.0  # gunicorn's own 30 and some
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # who lived that long is restarted at once

_LEASHED = str(Path(__file__).with_name("leashed.py"))

log = structlog.get_logger("idp.supervisor")


@dataclass(frozen=True)
class Child:
    """One program to run. `restarts`: start it again when it ends; else its end is everybody's."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    log_file: Path | None = None
    restarts: bool = False


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    started: float


class Supervisor:
    """Starts `children` and watches over them. Use from the main thread, once."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._running: dict[str, _Running] = {}
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._changed = threading.Event()
        self._signals = 0
        self._first_signal = 0

    def start(self) -> None:
        """Take over the signals that end a program, and start every child."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        for child in self._children:
            self._start(child)

    @property
    def was_terminated(self) -> bool:
        """Whether the first signal was SIGTERM: a service manager's wish, not a person's Ctrl-C."""
        return self._first_signal == signal.SIGTERM

    @property
    def is_stopping(self) -> bool:
        """Whether a signal came."""
        return self._signals > 0

    def find_ended(self) -> Child | None:
        """A child whose end is everybody's and that has ended, or None."""
        for running in self._running.values():
            if running.process.poll() is not None and not running.child.restarts:
                return running.child
        return None

    def wait(self, seconds: float | None = None) -> bool:
        """Until a signal came (True) or a child that matters ended (False), or the time is over (False)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.is_stopping and self.find_ended() is None:
            self._restart_due()
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            next_due = min(self._due.values(), default=None)
            pauses = [pause for pause in (left, next_due and next_due - time.monotonic()) if pause is not None]
            self._changed.wait(max(0.0, min(pauses)) if pauses else None)
            self._changed.clear()
        return self.is_stopping

    def linger(self, seconds: float) -> None:
        """Go on as before for some time after the first signal; another signal, or a child's end, cuts it short."""
        deadline, signals = time.monotonic() + seconds, self._signals
        while self._signals == signals and self.find_ended() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)
            self._changed.clear()

    def stop(self) -> None:
        """Ask every child to finish; kill those that take too long, or all after another signal."""
        patience, signals = time.monotonic() + GRACE_SECONDS, self._signals
        for running in reversed(list(self._running.values())):
            _signal_group(running.process, signal.SIGTERM, only_leader=True)
        while any(running.process.poll() is None for running in self._running.values()):
            if time.monotonic() > patience or self._signals > max(signals, 1):
                break
            self._changed.wait(0.2)
            self._changed.clear()
        for running in self._running.values():
            _signal_group(running.process, signal.SIGKILL)
            running.process.wait()

    def _start(self, child: Child) -> None:
        self._due.pop(child.name, None)
        output = child.log_file.open("ab") if child.log_file else None
        try:
            process = subprocess.Popen(  # noqa: S603 - the command line is ours
                [sys.executable, _LEASHED, str(os.getpid()), *child.command],
                env={**os.environ, **child.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output:
                output.close()
        self._running[child.name] = _Running(child, process, time.monotonic())
        threading.Thread(target=self._watch, args=(process,), name=f"watch-{child.name}", daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._changed.set()

    def _restart_due(self) -> None:
        now = time.monotonic()
        for name, running in list(self._running.items()):
            status = running.process.poll()
            if status is None or not running.child.restarts:
                continue
            if name not in self._due:
                is_steady = now - running.started > STEADY_SECONDS
                pause = 1.0 if is_steady else min(LONGEST_PAUSE_SECONDS, 2 * self._pauses.get(name, 0.5))
                self._pauses[name], self._due[name] = pause, now + pause
                log.warning("child_ended", child=name, status=status, again_in_seconds=pause)
            elif now >= self._due[name]:
                self._start(running.child)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._first_signal = self._first_signal or number
        self._signals += 1
        self._changed.set()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals, *, only_leader: bool = False) -> None:
    """Signal a child, or (at the very end) whatever is left of its process group, which is its own."""
    with suppress(ProcessLookupError, PermissionError):
        if only_leader:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
