"""Work in forked children: each starts from the same clean process, leaves nothing behind, and ends when it hangs.

A child answers with one pickled value. Its folder for temporary files is removed by the parent, whatever became of it.
A child hangs when it has used `MOST_CPU_SECONDS`, or waited for `LONGEST_SECONDS`: others may need the machine.
"""

import contextlib
import os
import pickle
import resource
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_CPU_SECONDS = 45
LONGEST_SECONDS = 300


@dataclass(frozen=True)
class Failure:
    """A child that gave no answer: it hung, or it fell over."""

    hung: bool
    trace: str


@dataclass
class _Child:
    job: Any
    pid: int
    pipe: int
    folder: Path
    deadline: float
    answer: bytes = b""


def in_children(jobs: Iterable[Any], work: Callable[[Any, Path], Any], *, at_once: int) -> Iterator[tuple[Any, Any]]:
    """Run `work(job, folder)` in a child per job, so many at once; yields (job, answer or Failure) as they end."""
    waiting, running = iter(jobs), selectors.DefaultSelector()
    children: dict[int, _Child] = {}
    is_exhausted = False
    try:
        while True:
            while not is_exhausted and len(children) < at_once:
                job = next(waiting, None)
                if job is None:
                    is_exhausted = True
                    break
                child = _start(job, work)
                children[child.pipe] = child
                running.register(child.pipe, selectors.EVENT_READ)
            if not children:
                return
            for key, _ in running.select(timeout=0.25):
                child = children[key.fd]
                piece = os.read(child.pipe, 1 << 16)
                child.answer += piece
                if not piece:
                    running.unregister(child.pipe)
                    yield child.job, _finish(children.pop(child.pipe))
            for child in [one for one in children.values() if time.monotonic() > one.deadline]:
                running.unregister(child.pipe)
                os.killpg(child.pid, signal.SIGKILL)
                _finish(children.pop(child.pipe))
                yield child.job, Failure(True, "")
    finally:
        for child in children.values():
            os.killpg(child.pid, signal.SIGKILL)
            _finish(child)


def _start(job: Any, work: Callable[[Any, Path], Any]) -> _Child:
    folder = Path(tempfile.mkdtemp(prefix="child-"))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Child(job, pid, reading, folder, time.monotonic() + LONGEST_SECONDS)
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        used = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + MOST_CPU_SECONDS, used + MOST_CPU_SECONDS + 1))
        os.setpgid(0, 0)  # what a test starts is killed along with it
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        try:
            answer = work(job, folder)
        except BaseException:  # noqa: BLE001
            answer = Failure(False, traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        status = 0
    finally:
        os._exit(status)


def _finish(child: _Child) -> Any:
    os.close(child.pipe)
    _, status = os.waitpid(child.pid, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    shutil.rmtree(child.folder, ignore_errors=True)
    try:
        return pickle.loads(child.answer)
    except (EOFError, pickle.UnpicklingError):
        is_out_of_time = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return Failure(is_out_of_time, f"no answer, status {status}")


def use_memory() -> None:
    """Let temporary files of this process and its children live in memory where there is room."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        tempfile.tempdir = os.environ["TMPDIR"] = str(memory)
    sys.stdout.flush()
