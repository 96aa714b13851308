"""The page docs/drain.md: how many notices a second, and how long applications that are well waited for theirs."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.report import Machine

if TYPE_CHECKING:
    from benchmarks.drain import Run

_INTRODUCTION = """\
# How ten thousand ends reach the applications

Written by `make bench-drain`; do not edit. Fifty applications on addresses of their own, each to be told of as many
ends, two `idp worker` with default settings, PostgreSQL as it comes. Applications answer 200 at once; the dead one
takes every connection and never answers, which is worse than refusing: each attempt costs its five seconds.

**Waiting** is measured in two ways, and never for the dead one:

- *From commit to arrival*: from just before the commit that ended the session to the last byte of the notice at the
  application. It says something when ends come steadily. When ten thousand come due at once, the last one waits for
  all before it, dead applications or not, and this is what draining takes.
- *Unserved*: the longest time that any application with notices due got none, between two arrivals, or from the
  moment at which the workers go on to its first. When all come due at once, this is what a dead application could do
  to the others.
"""


def unserved(run: "Run") -> float:
    """The longest stretch in which an application that had notices due got none, in seconds."""
    longest = 0.0
    for which, times in _arrivals(run).items():
        due = sorted(run.committed[sid] for sid, number in run.application.items() if number == which)
        if run.workers_began is not None:
            began = [run.workers_began, *times]
            longest = max(longest, *(after - before for before, after in itertools.pairwise(began)))
            continue
        # The n-th arrival can't be earlier than the n-th commit: it waited since then or since the one before it.
        before = 0.0
        for moment, arrival in zip(due, times, strict=True):
            longest = max(longest, arrival - max(moment, before))
            before = arrival
    return longest


def waits(run: "Run") -> list[float]:
    """From commit (or from the workers' start) to arrival, in seconds, in order."""
    return sorted(
        max(0.0, moment - max(run.committed[sid], run.workers_began or 0.0)) for sid, moment in run.arrived.items()
    )


def _arrivals(run: "Run") -> dict[int, list[float]]:
    times: dict[int, list[float]] = defaultdict(list)
    for sid, moment in run.arrived.items():
        times[run.application[sid]].append(moment)
    return {which: sorted(moments) for which, moments in times.items()}


def _figures(run: "Run") -> tuple[str, ...]:
    waited = waits(run)
    cuts = quantiles(waited, n=100)
    last = max(run.arrived.values())
    first = run.workers_began if run.workers_began is not None else min(run.committed.values())
    return (
        run.name,
        f"{len(waited):,}",
        f"{last - first:.1f}",
        f"{len(waited) / (last - first):.0f}",
        f"{cuts[49]:.2f}",
        f"{cuts[98]:.2f}",
        f"{waited[-1]:.2f}",
        f"{unserved(run):.2f}",
        f"{run.worker_seconds / len(waited) * 1000:.1f}",
        f"{run.load:.1f}",
    )


_HEAD = (
    "ends come", "told", "seconds", "per second", "p50 s", "p99 s", "most s", "longest unserved s",
    "worker CPU ms each", "load",
)  # fmt: skip


def in_short(run: "Run") -> str:
    """One line for the terminal."""
    return "  " + ", ".join(f"{name} {value}" for name, value in zip(_HEAD[1:], _figures(run)[1:], strict=True))


def write(runs: Sequence["Run"], machine: Machine, per_second: float, *, seconds: float, remark: str) -> str:
    """The whole page."""
    facts = [
        ("when", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {seconds:.0f} s, revision {machine.revision}"),
        ("machine", f"{machine.processor}, {machine.cores} cores, {machine.memory_gigabytes:.0f} GB, {machine.system}"),
        ("database", machine.database),
        ("steadily", f"{per_second:.0f} ends a second, or as many as one process makes"),
        ("load before", f"{machine.load_before:.1f}"),
    ]
    if remark:
        facts.append(("remark", remark))
    return "\n".join([_INTRODUCTION, _table(("", ""), facts), _table(_HEAD, (_figures(run) for run in runs))])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:" if head[1] else "---"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
