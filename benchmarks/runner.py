"""One measurement after the other: the yardsticks directly before and after each, so that ratios hold anywhere."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import counting, load
from benchmarks.load import Measured, Operation, Step
from benchmarks.operations import KINDS, Kind
from benchmarks.population import PASSWORD
from benchmarks.postgres import NotPossible, Postgres
from benchmarks.processes import cpu_seconds, pss_bytes
from benchmarks.servers import Server, empty_endpoint, free_port, provider
from benchmarks.update import SameUpdate, same_update
from benchmarks.world import World, environment_of, world
from idp import users
from idp.kit.opaque import Secret

AT = 8  # the number of connections at which processor time is told in microseconds


@dataclass(frozen=True)
class Pace:
    """How long things are measured, in seconds; `update` is pgbench's own option. `rounds`: how often at eight."""

    rounds: int
    at_eight: float
    alone: float
    at_many: float
    bare: float
    update: str

    def of(self, connections: int) -> float:
        """The duration of a run with that many connections."""
        return {1: self.alone, AT: self.at_eight}.get(connections, self.at_many)


FULL = Pace(rounds=5, at_eight=1.2, alone=1.0, at_many=1.5, bare=0.7, update="--time=1")
QUICK = Pace(rounds=1, at_eight=0.02, alone=0.01, at_many=0.01, bare=0.02, update="--transactions=50")


@dataclass(frozen=True)
class Cost:
    """Microseconds of processor time per operation, and per request to the empty endpoint around it."""

    service: float
    database: float
    bare: float

    @property
    def ratio(self) -> float:
        """To the empty endpoint with as many connections."""
        return self.service / self.bare


@dataclass
class Row:
    """What one operation costs on one server, by the number of connections. `update` in microseconds too."""

    name: str
    runs: dict[int, Measured] = field(default_factory=dict)
    costs: dict[int, Cost] = field(default_factory=dict)
    update: float | None = None
    counted: counting.Counted | None = None


@dataclass
class Result:
    """One web server's rows, and its memory before and after."""

    server: str
    rows: list[Row]
    bare: Row
    memory_before: int
    memory_after: int
    argon2: float

    def as_dict(self) -> dict[str, Any]:
        """For a file that programs compare."""
        return asdict(self)


@dataclass
class Bench:
    """Everything that one server's measurements need."""

    generator: Path
    folder: Path
    database: Postgres
    world: World
    service: Server
    bare: Server
    update: SameUpdate
    pace: Pace

    def measure(self, kind: Kind) -> Row:
        """One operation, with its yardsticks around it."""
        row = Row(kind.name)
        self._run(kind, 32, connections=min(AT, max(kind.connections)), seconds=self.pace.alone)
        updates: list[float] = []
        for connections in sorted(kind.connections, key=lambda count: count != AT):
            rounds = []
            # What a single run of a second or two says varies by a fifth. Records that are used up are dear to make.
            for _ in range(self.pace.rounds if connections == AT and not kind.uses_up else 1):
                rounds.append(self._round(kind, connections))
                if connections == AT and kind.is_refresh:
                    updates.append(self.update.cpu_microseconds(clients=AT, option=self.pace.update))
            rounds.sort(key=lambda one: one[1].ratio)
            row.runs[connections], row.costs[connections] = rounds[len(rounds) // 2]
        row.update = statistics.median(updates) if updates else None
        row.counted = self._count(kind)
        return row

    def _round(self, kind: Kind, connections: int) -> tuple[Measured, Cost]:
        bare, before = self._bare(connections), self._used()
        measured = self._run(kind, kind.count, connections=connections, seconds=self.pace.of(connections), note=before)
        service, database = [
            (after - used) / measured.operations * 1e6 for used, after in zip(before, self._used(), strict=True)
        ]
        return measured, Cost(service, database, statistics.mean([bare, self._bare(connections)]))

    def bare_row(self) -> Row:
        """The empty endpoint as a row of its own."""
        row = Row("empty Flask endpoint")
        plan = self._bare_plan()
        for connections in (1, AT, 32):
            row.runs[connections] = load.run(
                self.generator, plan, port=self.bare.port, connections=connections, seconds=self.pace.alone
            )
            bare = self._bare(connections)
            row.costs[connections] = Cost(bare, 0.0, bare)
        return row

    def _run(
        self, kind: Kind, count: int, *, connections: int, seconds: float, note: list[float] | None = None
    ) -> Measured:
        """Make records and requests, then send them. `note` gets the processor times at the moment of the start."""
        plan = self.folder / "plan"
        load.write_plan(plan, kind.make(self.world, max(self.world.size(count), connections)))
        if note is not None:
            note[:] = self._used()
        return load.run(
            self.generator, plan, port=self.service.port, connections=connections, seconds=seconds, once=kind.uses_up
        )

    def _used(self) -> list[float]:
        return [cpu_seconds(self.service.pid), cpu_seconds(self.database.process.pid)]

    def _bare(self, connections: int) -> float:
        """Processor microseconds of one request to the empty endpoint."""
        plan, before = self._bare_plan(), cpu_seconds(self.bare.pid)
        measured = load.run(self.generator, plan, port=self.bare.port, connections=connections, seconds=self.pace.bare)
        # At least one tick: a very short run may be too short for the system's accounting.
        return max(cpu_seconds(self.bare.pid) - before, 0.01) / measured.operations * 1e6

    def _bare_plan(self) -> Path:
        plan = self.folder / "bare"
        if not plan.exists():
            asked = Step(load.request("GET", "/bare", port=self.bare.port))
            operations: list[Operation] = [[asked]] * 64
            load.write_plan(plan, operations)
        return plan

    def _count(self, kind: Kind) -> counting.Counted | None:
        if not self.database.counts_statements:
            return None
        count = 8 if self.world.is_quick else 24
        plan = self.folder / "plan"
        load.write_plan(plan, list(kind.make(self.world, count))[:count])
        with self.database.connection() as connection:
            counting.begin_counting(connection)
            measured = load.run(self.generator, plan, port=self.service.port, connections=1, seconds=60, once=True)
            return counting.end_counting(connection, measured.operations)


def measure_server(
    kind: str,
    *,
    database: Postgres,
    generator: Path,
    folder: Path,
    is_quick: bool,
    only: str,
    say: Callable[[str], None],
) -> Result:
    """All operations under one web server, on a database of their own."""
    folder.mkdir()
    port, pace = free_port(), QUICK if is_quick else FULL
    environment = environment_of(database, port, folder)
    log = folder / "log"
    with world(database, environment, port, is_quick=is_quick) as ready:
        yardstick = same_update(database, ready, folder)
        with (
            provider(kind, port=port, environment=environment, log=log) as service,
            empty_endpoint(kind, log=folder / "bare-log") as bare,
        ):
            bench = Bench(generator, folder, database, ready, service, bare, yardstick, pace)
            memory_before = pss_bytes(service.pid)
            bare_row, rows = bench.bare_row(), []
            for operation in KINDS:
                if only not in operation.name:
                    continue
                started = time.monotonic()
                try:
                    rows.append(bench.measure(operation))
                except NotPossible as problem:
                    raise NotPossible(f"{operation.name}: {problem}\n{_last_words(log)}") from None
                row, cost = rows[-1], rows[-1].costs[AT]
                say(
                    f"{kind:9} {row.name:42} {row.runs[AT].per_second:8.0f}/s  service {cost.service:7.0f} µs "
                    f"= {cost.ratio:4.1f} × empty  database {cost.database:7.0f} µs "
                    f"({time.monotonic() - started:.0f} s)"
                )
            return Result(kind, rows, bare_row, memory_before, pss_bytes(service.pid), _argon2(ready))


def _last_words(log: Path) -> str:
    """What the provider said last, its lines about requests aside."""
    return "\n".join([line for line in log.read_text().splitlines() if '"event": "request"' not in line][-3:])


def _argon2(world: World) -> float:
    """Processor microseconds of one password check by itself."""
    times = []
    for _ in range(3):
        before = time.process_time()
        assert users.verify_password(world.population.password_hash, Secret(PASSWORD))
        times.append((time.process_time() - before) * 1e6)
    return min(times)


def say_to_terminal(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
