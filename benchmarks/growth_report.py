"""The page docs/growth.md."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.growing import CONNECTIONS, TABLES, Cost, Sizes
from benchmarks.heavy_pages import Waited
from benchmarks.report import Machine, table

_INTRODUCTION = """\
# What growth costs

Written by `make bench-growth`; do not edit. [How it is measured](../benchmarks/README.md).
"""
_SIZES = """\
## Beside ten thousand sessions and beside a million

Two installations run side by side and are asked by turns, so that what the machine does besides touches both. Everybody
has a browser session, a session of an app, a token family in each, and an older session that is over, with receipt,
notice and history. Each request is about somebody else, from all over the tables. Processor time per operation with
{connections} connections, waiting with one; medians of the rounds.
"""
_ROTATIONS = """\
## {count:,} rotations

Beside {size} sessions, over {families:,} families, {rate:,.0f} per second {way}; autovacuum as it comes.
"""
_PAGES = """\
## Ten thousand of everything

One person beside {size} sessions of others: 5,000 browsers and 5,000 tools signed in, 10,000 sessions that are over,
10,000 rows of history. One connection; milliseconds until the whole page is there.
"""


@dataclass(frozen=True)
class Rotations:
    """What the tables looked like before, between and after; memory of the provider at the same moments."""

    count: int
    families: int
    seconds: float
    looks: list[dict[str, Sizes]]
    memory: list[int]
    by_pgbench: bool


@dataclass
class Found:
    """All that was measured; what was not asked for is empty."""

    sizes: list[str] = field(default_factory=list)
    costs: dict[str, Mapping[str, Cost]] = field(default_factory=dict)
    rotations: Rotations | None = None
    pages: list[Waited] = field(default_factory=list)


def write(found: Found, machine: Machine, *, before: str | None, command: str, seconds: float, remark: str) -> str:
    """The whole page; or, behind what an earlier run wrote, what this one found."""
    parts = [before or _INTRODUCTION, table(("", ""), machine.facts(command, seconds=seconds, remark=remark))]
    if found.costs:
        parts += [_SIZES.format(connections=CONNECTIONS), _costs(found)]
    if found.rotations:
        parts += list(_rotations(found.rotations, found.sizes[-1]))
    if found.pages:
        parts += [_PAGES.format(size=found.sizes[-1]), _pages(found.pages)]
    return "\n".join(parts)


def _costs(found: Found) -> str:
    small, large = found.sizes
    measures = ("service, µs", "PostgreSQL, µs", "p50, ms")
    sizes = [f"{measure}: {size}" for measure in measures for size in found.sizes]
    head = ("operation", *sizes, "processor time")
    rows = []
    for name, costs in found.costs.items():
        one, other = costs[small].medians, costs[large].medians
        change = (other[0] + other[1]) / (one[0] + one[1]) - 1
        rows.append(
            (
                name,
                *(f"{value:,.0f}" for place in (0, 1) for value in (one[place], other[place])),
                *(f"{value / 1000:.1f}" for value in (one[2], other[2])),
                f"{change:+.0%}",
            )
        )
    return table(head, rows)


def _rotations(found: Rotations, size: str) -> Iterator[str]:
    way = "by pgbench, which sends the very UPDATE of a refresh" if found.by_pgbench else "through the service"
    rate = found.count / found.seconds
    yield _ROTATIONS.format(count=found.count, size=size, families=found.families, rate=rate, way=way)
    first, last = found.looks[0], found.looks[-1]
    rows = []
    for name in TABLES:
        if name not in last:
            continue
        updates, hot = last[name].updates - first[name].updates, last[name].hot - first[name].hot
        rows.append(
            (
                f"`{name}`",
                _megabytes([look[name].table for look in found.looks]),
                _megabytes([look[name].indexes for look in found.looks]),
                f"{updates:,}",
                f"{hot / updates:.1%}" if updates else "–",
                str(last[name].vacuums - first[name].vacuums),
            )
        )
    steps = len(found.looks) - 1
    moments = ", ".join(f"{place * found.count // steps:,}" for place in range(steps + 1))
    yield table(("table", f"MB after {moments}", "indexes, MB", "updates", "of these HOT", "vacuumed"), rows)
    if not found.by_pgbench:
        yield f"Memory (PSS) of the provider at the same moments: {_megabytes(found.memory)} MB.\n"


def _megabytes(values: Sequence[int]) -> str:
    return " · ".join(f"{value / 2**20:,.1f}" for value in values)


def _pages(pages: Sequence[Waited]) -> str:
    rows = []
    for waited in pages:
        times = (waited.measured.p50 / 1000, waited.measured.p95 / 1000, waited.service, waited.database)
        rows.append((waited.name, *(f"{value:,.0f}" for value in times), str(waited.limit)))
    return table(("page", "p50", "p95", "of it processor, service", "and PostgreSQL", "at most"), rows)
