"""Driving loadgen.c: compiling it once, writing plans of requests, running it, reading what it measured."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import NotPossible

SOURCE = Path(__file__).with_name("loadgen.c")
HOLE = "\x01"


@dataclass(frozen=True)
class Step:
    """One request and its answer. `capture`: the text after it is put into the hole of the operation's next step."""

    request: bytes
    status: int = 200
    hole_at: int = 0
    hole_length: int = 0
    capture: str = "-"


Operation = Sequence[Step]


@dataclass(frozen=True)
class Measured:
    """What one run gave; times of single operations in microseconds."""

    operations: int
    seconds: float
    p50: float
    p95: float
    p99: float

    @property
    def per_second(self) -> float:
        """Throughput."""
        return self.operations / self.seconds if self.seconds else 0.0


def compile_generator(folder: Path) -> Path:
    """The program, compiled with the system's C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NotPossible("A C compiler is needed (on Debian and Ubuntu: apt-get install gcc libc6-dev).")
    program = folder / "loadgen"
    subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


def request(
    method: str,
    path: str,
    *,
    port: int,
    form: str | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    """An HTTP/1.1 request as bytes. What is to be filled in later stands in it as a run of `HOLE`."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if form is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + (form or "")).encode()


def with_hole(made: bytes, *, status: int = 200, capture: str = "-", fill: str | None = None) -> Step:
    """A step whose request has a run of `HOLE`; `fill` is what stands there the first time."""
    place, length = made.index(HOLE.encode()), made.count(HOLE.encode())
    if fill is not None:
        assert len(fill) == length
        made = made.replace(HOLE.encode() * length, fill.encode())
    return Step(made, status, place, length, capture)


def write_plan(path: Path, operations: Iterable[Operation]) -> None:
    """The file that loadgen.c reads."""
    with path.open("wb") as file:
        for operation in operations:
            file.write(f"operation {len(operation)}\n".encode())
            for step in operation:
                head = f"step {len(step.request)} {step.status} {step.hole_at} {step.hole_length} {step.capture}\n"
                file.write(head.encode() + step.request + b"\n")


def run(program: Path, plan: Path, *, port: int, connections: int, seconds: float, once: bool = False) -> Measured:
    """Run a plan. Raises `NotPossible` when an answer was not the expected one: such a figure would mean nothing."""
    command = [str(program), str(port), str(connections), str(seconds), str(plan), *(["once"] if once else [])]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise NotPossible(f"The load generator failed: {answer.stderr.strip()}")
    found = json.loads(answer.stdout)
    if found["errors"]:
        raise NotPossible(f"{found['errors']} unexpected answers; the first: {found['first_error']}")
    return Measured(found["operations"], found["seconds"], found["p50"], found["p95"], found["p99"])
