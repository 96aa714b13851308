"""The page docs/benchmarks.md: the machine, then for each web server what operations cost and how long they take."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.postgres import Postgres
from benchmarks.runner import AT, Result, Row

_PACKAGES = ("flask", "werkzeug", "gunicorn", "granian", "sqlalchemy", "psycopg", "pyjwt", "cryptography")
_INTRODUCTION = """\
# What operations cost

Written by `make bench`; do not edit. [How it is measured](../benchmarks/README.md), and what it leaves out. Compare
ratios, not figures: processor time per operation drifts with the machine, and the two yardsticks are measured directly
before and after each operation: an empty Flask endpoint on the same web server with the same options, and the very
UPDATE of a refresh sent by pgbench.
"""


@dataclass(frozen=True)
class Machine:
    """Where and with what it was measured."""

    processor: str
    cores: int
    memory_gigabytes: float
    system: str
    revision: str
    load_before: float
    database: str = ""

    @classmethod
    def look(cls) -> "Machine":
        """This machine, before anything is started."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return cls(
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_gigabytes=memory,
            system=f"{platform.system()} {platform.release().partition('-')[0]}",
            revision=_revision(),
            load_before=os.getloadavg()[0],
        )

    def with_database(self, database: Postgres) -> "Machine":
        """With the server's own words on its settings."""
        with database.connection() as connection:
            asked = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
            answers = [connection.execute(f"SHOW {name}").fetchone() for name in asked]
        number, *rest = [str(answer[0]) if answer else "" for answer in answers]
        settings = ", ".join(f"{name} {value}" for name, value in zip(asked[1:], rest, strict=True))
        return replace(self, database=f"PostgreSQL {number.split()[0]}, as it comes ({settings})")

    def facts(self, command: str, *, seconds: float, remark: str) -> list[tuple[str, str]]:
        """What a page says of how its figures came about, row by row."""
        now = datetime.now(UTC)
        return [
            ("machine", f"{self.cores} cores, {self.processor}, {self.memory_gigabytes:.0f} GB, {self.system}"),
            ("load before the run", f"{self.load_before:.1f} processes" + (f". {remark}" if remark else "")),
            ("database", self.database),
            ("Python", f"{platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in _PACKAGES)),
            (
                "servers",
                "2 processes with 8 threads each, default logging (to a file) and metrics; tokens signed with ES256",
            ),
            ("command", f"`{command}` at {self.revision}, {now:%d %B %Y}, {seconds / 60:.0f} minutes"),
        ]


def write(results: Sequence[Result], machine: Machine, *, seconds: float, is_quick: bool, remark: str) -> str:
    """The whole page."""
    command = "make bench" + (' ARGS="--quick"' if is_quick else "")
    facts = machine.facts(command, seconds=seconds, remark=remark)
    parts = [_INTRODUCTION]
    if is_quick:
        parts.append("**A quick run: it shows that everything can be measured. Its figures mean little.**\n")
    parts.append(table(("", ""), facts))
    for result in results:
        parts += [f"## Under {result.server}\n", _costs(result), _times(result), _remarks(result)]
    return "\n".join(parts)


def _costs(result: Result) -> str:
    counts = sorted(result.bare.costs)
    head = (
        "operation", "service, µs", "× empty endpoint: " + " / ".join(str(count) for count in counts) + " conn.",
        "PostgreSQL, µs", "× same UPDATE", "statements", "round trips",
    )  # fmt: skip
    rows = [(result.bare.name, f"{result.bare.costs[AT].service:.0f}", "1", "–", "–", "–", "–")]
    rows += [
        (
            row.name,
            f"{row.costs[AT].service:,.0f}",
            " / ".join(_ratio(row, count) for count in counts),
            f"{row.costs[AT].database:,.0f}",
            f"{row.costs[AT].database / row.update:.1f}" if row.update else "–",
            str(row.counted.statements) if row.counted else "not counted",
            str(row.counted.round_trips) if row.counted else "not counted",
        )
        for row in result.rows
    ]
    bare = ", ".join(f"{result.bare.costs[count].service:.0f} with {count}" for count in counts)
    return (
        f"Processor time of one operation with {AT} connections; the ratio also with the others, each to an empty"
        f" endpoint with as many (µs: {bare}).\n\n" + table(head, rows)
    )


def _ratio(row: Row, connections: int) -> str:
    cost = row.costs.get(connections)
    if cost is None:
        return "–"
    return f"**{cost.ratio:.1f}**" if connections == AT else f"{cost.ratio:.1f}"


def _times(result: Result) -> str:
    counts = sorted(result.rows[0].runs)
    head = ("operation", *(f"{count} conn.: per second" + ", p50 / p95 / p99 ms" for count in counts))
    rows = [(row.name, *(_run(row, count) for count in counts)) for row in [result.bare, *result.rows]]
    return "Throughput and latency; the load generator shares the machine:\n\n" + table(head, rows)


def _run(row: Row, connections: int) -> str:
    run = row.runs.get(connections)
    if run is None:
        return "–"
    times = " / ".join(f"{value / 1000:,.1f}" for value in (run.p50, run.p95, run.p99))
    return f"**{run.per_second:,.0f}** {times}"


def _remarks(result: Result) -> str:
    megabytes = [f"{value / 2**20:,.0f} MB" for value in (result.memory_before, result.memory_after)]
    return (
        f"One argon2id password check alone takes {result.argon2 / 1000:.0f} ms of processor time; signing in is that "
        f"and the rest.\n\nMemory (PSS) of the provider: {megabytes[0]} before the first and {megabytes[1]} after the "
        "last operation.\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---", *["---:" if head[1] else "---"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _revision() -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return answer.stdout.strip() or "an unknown revision"
