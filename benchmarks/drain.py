"""`python -m benchmarks.drain`: how 10,000 ends reach fifty applications, one of them dead; writes docs/drain.md.

Two ways for ten thousand notices to come due. *At once*: they are committed while the workers stand still, which then
go on. *Steadily*: ends are committed at a fixed rate. Both with all applications well, and with one that takes every
connection and never answers. PostgreSQL with its default durability, two `idp worker`, applications in a process of
their own that answer 200 at once. "Waiting" is what the page says it is (`benchmarks.drain_report`).
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import drain_report
from benchmarks.applications import Applications
from benchmarks.population import Population, identifier
from benchmarks.postgres import NotPossible, Postgres, postgres
from benchmarks.processes import cpu_seconds
from benchmarks.report import Machine
from benchmarks.runner import say_to_terminal
from benchmarks.servers import free_port
from benchmarks.world import environment_of
from idp import clients, sessions
from idp.clients import ClientSpec
from idp.db.models import EndReason
from idp.sessions import Actor
from idp.settings import load_settings
from idp.web.services import Services, build_services

PAGE = Path(__file__).parent.parent / "docs" / "drain.md"
APPLICATIONS = 50
WORKERS = 2
# How many sessions end in one commit: a person who signs out of everything.
TOGETHER = 100
TOGETHER_STEADILY = 10
# Between two looks whether all has arrived; what did not arrive after so long never will.
LOOK_SECONDS, PATIENCE_SECONDS = 0.2, 600.0


@dataclass
class Run:
    """One run: when each notice was committed and arrived, in seconds of one clock, by `sid`."""

    name: str
    has_dead: bool
    workers_began: float | None = None
    committed: dict[str, float] = field(default_factory=dict)
    application: dict[str, int] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    worker_seconds: float = 0.0
    load: float = 0.0


class Drain:
    """The installation: a database, registered applications and two workers that stand still or go."""

    def __init__(self, services: Services, population: Population, applications: Applications) -> None:
        self.services, self.population, self.applications = services, population, applications
        self.client_ids = [self._register(port) for port in applications.ports]
        self._workers: list[subprocess.Popen[bytes]] = []

    def _register(self, port: int) -> str:
        address = f"http://127.0.0.1:{port}/backchannel-logout"
        spec = ClientSpec(
            name=f"Application {port}", redirect_uris=("https://app.example/callback",), backchannel_logout_uri=address
        )
        with self.services.database.transaction() as tx:
            created = clients.create_client(tx, spec=spec, now=self.services.clock.now())
        if isinstance(created, list):
            raise NotPossible(f"The application can't be registered: {created}")
        return created.client.id

    @contextmanager
    def workers(self, environment: Mapping[str, str], log: Path) -> Iterator[None]:
        """Two workers, as `idp worker` starts them."""
        command = [sys.executable, "-m", "idp.cli", "worker"]
        with log.open("ab") as output:
            self._workers = [
                subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
                for _ in range(WORKERS)
            ]
        try:
            self._wait_for_workers(log)
            yield
        finally:
            for worker in self._workers:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
            for worker in self._workers:
                worker.wait(60)

    def _wait_for_workers(self, log: Path) -> None:
        deadline = time.monotonic() + 60
        while log.read_text().count("worker_started") < WORKERS:
            if time.monotonic() > deadline:
                raise NotPossible(f"The workers did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        time.sleep(1)  # they look once whether there is anything to do

    def stand_still(self) -> None:
        for worker in self._workers:
            worker.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)

    def worker_seconds(self) -> float:
        return sum(cpu_seconds(worker.pid) for worker in self._workers)

    def populate(self, ends: int, together: int) -> list[tuple[str, list[tuple[str, int]]]]:
        """People, `together` sessions each, every session with one application in turn: (user, [(sid, which)])."""
        numbers = self.population.people(ends)
        self.population.browsers(numbers)
        share = ends // len(self.client_ids)
        where: dict[int, int] = {}
        for which, client_id in enumerate(self.client_ids):
            part = range(numbers[0] + which * share, numbers[0] + (which + 1) * share)
            self.population.applications(part, [client_id])
            where.update(dict.fromkeys(part, which))
        # Whose session: so that every person has one in as many applications as possible.
        people = ends // together
        for table, column in (("sessions", "id"), ("token_families", "session_id")):
            self.population.connection.execute(
                f"UPDATE {table} SET user_id = '0u' || lpad("
                f"(%(first)s + (substr({column}, 3, 23)::bigint - %(first)s) %% %(people)s)::text, 23, '0') || '0' "
                f"WHERE {column} BETWEEN %(low)s AND %(high)s",
                {
                    "first": numbers[0],
                    "people": people,
                    "low": identifier("b", numbers[0]),
                    "high": identifier("b", numbers[-1]),
                },
            )
        self.population.settle()
        plan: list[tuple[str, list[tuple[str, int]]]] = []
        for place in range(people):
            own = [number for number in range(numbers[0] + place, numbers[-1] + 1, people) if number in where]
            sids = [(f"m{number * 10_000 + 1:021d}", where[number]) for number in own]
            plan.append((identifier("u", numbers[0] + place), sids))
        return plan

    def end(self, run: Run, user_id: str, ended: list[tuple[str, int]]) -> None:
        """One person signs out of everything; the clock reads just before the commit."""
        with self.services.database.transaction() as tx:
            sessions.end_everything(
                tx,
                user_id=user_id,
                except_session_id=None,
                reason=EndReason.SIGNED_OUT_EVERYWHERE,
                actor=Actor(),
                settings=self.services.settings,
                now=self.services.clock.now(),
            )
            now = time.monotonic()
        for sid, which in ended:
            run.committed[sid], run.application[sid] = now, which

    def at_once(self, name: str, ends: int) -> Run:
        """All ends first, then the workers."""
        run = Run(name, self.applications.has_dead)
        plan = self.populate(ends, TOGETHER)
        self.stand_still()
        for user_id, ended in plan:
            self.end(run, user_id, ended)
        used = self.worker_seconds()
        run.workers_began = time.monotonic()
        self.go_on()
        return self._finish(run, used)

    def steadily(self, name: str, ends: int, per_second: float) -> Run:
        """Ends at a fixed rate while the workers work."""
        run = Run(name, self.applications.has_dead)
        plan = self.populate(ends, TOGETHER_STEADILY)
        used, began = self.worker_seconds(), time.monotonic()
        for number, (user_id, ended) in enumerate(plan):
            pause = began + number * TOGETHER_STEADILY / per_second - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            self.end(run, user_id, ended)
        return self._finish(run, used)

    def _finish(self, run: Run, used: float) -> Run:
        """Wait until all that are not dead have been told."""
        wanted = {sid for sid, which in run.application.items() if which != self.applications.dead}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(wanted) > self.applications.count_answered():
            if time.monotonic() > deadline:
                raise NotPossible(f"{run.name}: not everybody was told")
            time.sleep(LOOK_SECONDS)
        run.worker_seconds, run.load = self.worker_seconds() - used, os.getloadavg()[0]
        for moment, _port, body in self.applications.take():
            sid = _sid_in(body)
            run.arrived.setdefault(sid, moment)
        missing = wanted - run.arrived.keys()
        if missing:
            raise NotPossible(f"{run.name}: {len(missing)} notices never came")
        return run


def _sid_in(body: bytes) -> str:
    """The `sid` of a posted logout token; nobody verifies anything here."""
    claims = body.partition(b"logout_token=")[2].split(b".")[1]
    sid: str = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["sid"]
    return sid


def measure(database: Postgres, folder: Path, *, ends: int, per_second: float, has_dead: bool) -> list[Run]:
    """One installation, both ways."""
    environment = environment_of(database, free_port(), folder)
    with Applications(APPLICATIONS, has_dead=has_dead) as applications:
        environment |= {"IDP_OUTBOUND_ALLOW": ",".join(f"127.0.0.1:{port}" for port in applications.ports)}
        made = subprocess.run(
            [sys.executable, "-m", "idp.cli", "init"],
            env={**os.environ, **environment},
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise NotPossible(f"idp init failed: {made.stderr.decode()}")
        services = build_services(load_settings(environment))
        try:
            with database.connection() as connection:
                drain = Drain(services, Population(connection, services), applications)
                log = folder / "workers.log"
                words = "one dead" if has_dead else "all well"
                with drain.workers(environment, log):
                    runs = []
                    for how in ("at once", "steadily"):
                        say_to_terminal(f"{ends:,} ends {how}, {words}")
                        name = f"{how}, {words}"
                        run = drain.at_once(name, ends) if how == "at once" else drain.steadily(name, ends, per_second)
                        say_to_terminal(drain_report.in_short(run))
                        runs.append(run)
                    return runs
        finally:
            services.database.engine.dispose()


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drain", description=__doc__)
    parser.add_argument("--ends", type=int, default=10_000, help="a multiple of 5,000 (default: %(default)s)")
    parser.add_argument("--per-second", type=float, default=100.0, help="ends, when they come steadily")
    parser.add_argument("--only-dead", action="store_true", help="not the runs in which all applications are well")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    parser.add_argument("--remark", default="", help="a sentence about the machine, for the page")
    given = parser.parse_args()
    started, machine, runs = time.monotonic(), Machine.look(), []
    try:
        for has_dead in (True,) if given.only_dead else (False, True):
            with (
                tempfile.TemporaryDirectory(prefix="idp-drain-", dir=os.environ.get("BENCH_FOLDER")) as folder,
                postgres() as database,
            ):
                machine = machine.with_database(database)
                runs += measure(database, Path(folder), ends=given.ends, per_second=given.per_second, has_dead=has_dead)
    except NotPossible as problem:
        sys.exit(f"The measurement can't run: {problem}")
    seconds = time.monotonic() - started
    given.output.write_text(drain_report.write(runs, machine, given.per_second, seconds=seconds, remark=given.remark))
    say_to_terminal(f"Written: {given.output} ({seconds:.0f} s)")


if __name__ == "__main__":
    main()
