"""`python -m benchmarks.growth`: what an operation costs beside a million sessions, and what 200,000 rotations leave.

`make bench-growth`. Two installations side by side, measured by turns (`benchmarks.growing`); then rotations on the
large one; then the pages of one person with ten thousand of everything, and signing out of a thousand participations.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import growth_report, load, report
from benchmarks.crowd import Crowd
from benchmarks.growing import TASKS, Cost, Installation, compare, look, rotations, rotations_by_pgbench
from benchmarks.heavy_pages import measure_pages
from benchmarks.postgres import NotPossible, postgres
from benchmarks.processes import pss_bytes
from benchmarks.runner import say_to_terminal as say
from benchmarks.servers import free_port, provider
from benchmarks.world import environment_of, world

PARTS = ("sizes", "pages", "rotations")
PAGE = Path(__file__).parent.parent / "docs" / "growth.md"


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that everything can be measured")
    parser.add_argument("--rounds", type=int, default=7, help="of each operation on both sizes (default: %(default)s)")
    parser.add_argument("--rotations", type=int, default=200_000)
    parser.add_argument("--only", action="append", choices=PARTS, help="of the three parts, those that are named")
    parser.add_argument("--pgbench", action="store_true", help="let pgbench send the UPDATE of the rotations: quicker")
    parser.add_argument("--append", action="store_true", help="write behind what is on the page already")
    parser.add_argument("--people", type=int, default=500_000, help="of the large installation (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    parser.add_argument("--remark", default="", help="a sentence about the machine, for the page")
    given = parser.parse_args()
    small, large = (3_000, 6_000) if given.quick else (5_000, given.people)
    how_many = 2_000 if given.quick else given.rotations
    rounds, seconds = (1, 0.2) if given.quick else (given.rounds, 1.5)
    parts = set(given.only or PARTS)
    started, machine = time.monotonic(), report.Machine.look()
    found = growth_report.Found()
    command = "make bench-growth" + _options(given)
    before = given.output.read_text() if given.append else None
    with (
        tempfile.TemporaryDirectory(prefix="idp-growth-", dir=os.environ.get("BENCH_FOLDER")) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        load.compile_generator(folder)
        try:
            sizes = (small, large) if "sizes" in parts else (large,)
            both = [stack.enter_context(_installation(size, folder)) for size in sizes]
            machine = machine.with_database(both[0].database)
            found.sizes = [one.words for one in both]
            for _ in _measured(
                found,
                both,
                parts,
                rounds=rounds,
                seconds=seconds,
                how_many=how_many,
                is_quick=given.quick,
                by_pgbench=given.pgbench,
            ):
                # After each part: what was measured is not lost when the next one fails.
                took = time.monotonic() - started
                text = growth_report.write(
                    found, machine, before=before, command=command, seconds=took, remark=given.remark
                )
                given.output.write_text(text)
                say(f"Written: {given.output} ({took:.0f} s)")
        except NotPossible as problem:
            sys.exit(f"The benchmark can't run: {problem}")


def _measured(
    found: growth_report.Found,
    both: Sequence[Installation],
    parts: Collection[str],
    *,
    rounds: int,
    seconds: float,
    how_many: int,
    is_quick: bool,
    by_pgbench: bool,
) -> Iterator[None]:
    """Measure one part after the other, and put what was found in its place."""
    if "sizes" in parts:
        for task in TASKS:
            found.costs[task.name] = compare(task, both, rounds=rounds, seconds=seconds)
            say(_line(task.name, found.costs[task.name]))
        yield
    if "pages" in parts:
        found.pages = measure_pages(both[-1], is_quick=is_quick)
        yield
    if "rotations" in parts:
        for found.rotations in _rotations(
            both[-1], how_many, families=200 if is_quick else 20_000, by_pgbench=by_pgbench
        ):
            yield


def _options(given: argparse.Namespace) -> str:
    """What was asked for beyond the usual, for the page."""
    options = ["--quick"] if given.quick else []
    options += [f"--only {part}" for part in given.only or ()]
    options += ["--pgbench"] if given.pgbench else []
    options += [f"--people {given.people}"] if given.people != 500_000 else []
    return f' ARGS="{" ".join(options)}"' if options else ""


@contextmanager
def _installation(people: int, folder: Path) -> Iterator[Installation]:
    """One installation with so many people, all of them signed in twice."""
    words, began = f"{2 * people:,}", time.monotonic()
    own = folder / str(people)
    own.mkdir()
    with postgres() as database:
        port = free_port()
        environment = environment_of(database, port, own)
        with world(database, environment, port, is_quick=False) as ready:
            crowd = Crowd(ready.population.connection, ready.services, ready.population.password_hash)
            ready.population = crowd
            filled = crowd.fill(people, app_id=ready.clients["rotating"].id, web_id=ready.clients["web"].id)
            with provider("gunicorn", port=port, environment=environment, log=own / "log") as service:
                say(f"{words} sessions are there ({time.monotonic() - began:.0f} s)")
                yield Installation(words, database, ready, crowd, service, filled, own)


def _line(name: str, costs: Mapping[str, Cost]) -> str:
    return f"{name:50} " + "   ".join(
        f"{words}: service {cost.medians[0]:.0f} µs, database {cost.medians[1]:.0f} µs, {cost.medians[2] / 1000:.1f} ms"
        for words, cost in costs.items()
    )


def _rotations(one: Installation, count: int, *, families: int, by_pgbench: bool) -> Iterator[growth_report.Rotations]:
    """Rotations in four parts, the tables looked at after each."""
    rotate_some = rotations_by_pgbench(one, families) if by_pgbench else rotations(one, families)
    rotate_some(families // 10)  # so that the provider has all that it needs in its memory
    looks, memory, seconds, done = [look(one)], [pss_bytes(one.service.pid)], 0.0, 0
    for _ in range(4):
        part, took = rotate_some(count // 4)
        done, seconds = done + part, seconds + took
        looks.append(look(one))
        memory.append(pss_bytes(one.service.pid))
        say(f"{done:,} rotations: {looks[-1]['token_families']}, {memory[-1] / 2**20:.0f} MB")
        yield growth_report.Rotations(done, families, seconds, looks, memory, by_pgbench)


if __name__ == "__main__":
    main()
