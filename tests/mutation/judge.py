"""The judge: a pytest plugin that collects the tests once, and then runs for each change those that can notice it.

First every test runs once, and it is noted which lines of the rules it runs; one that fails here judges nothing. Then
each change meets the tests that run its lines, the most promising first, until one fails: in a child of its own, forked
from this process, which forgets before what it writes once and keeps (`forget`).
"""

import functools
import gc
import os
import pickle
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.mutation.changes import Change, apply
from tests.mutation.children import Failure, in_children


@dataclass
class Run:
    """What one test does in a clean tree."""

    test: str
    seconds: float
    failed: bool
    lines: dict[str, frozenset[int]]


@dataclass
class Verdict:
    """What became of a change: noticed by a test, hung, survived, or run by no test."""

    change: Change
    word: str
    by: str = ""
    tests: int = 0
    seconds: float = 0.0
    candidates: int = 0


@dataclass
class Judge:
    """Runs instead of pytest's own loop over the tests."""

    changes: list[Change]
    at_once: int
    patience: float  # seconds of tests that a change must live through to have survived
    told: Any
    known: Path | None = None
    until: float = float("inf")
    before: list[dict[str, Any]] = field(default_factory=list)  # what an earlier run wrote down
    verdicts: list[Verdict] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    _killers: dict[str, Counter[str]] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Map, then judge; pytest itself runs nothing."""
        self._items = {item.nodeid: item for item in session.items}
        self._map()
        for entry in self.before:
            if entry["word"] == "killed":
                self._remember(entry["name"].partition("#")[0], entry["by"])
        for change, answer in in_children(self._in_time(), self._try, at_once=self.at_once):
            verdict = self._verdict(change, answer)
            self.verdicts.append(verdict)
            if verdict.by:
                self._remember(f"{change.module}.{change.function}", verdict.by)
            self.told(verdict, len(self.verdicts))
        self._confirm()
        return True

    # ── Which test runs which lines ──────────────────────────────────────────────────────────────────────────────────

    def _map(self) -> None:
        """Run every test once, here, so that all children find what SQLAlchemy compiled (`tests.support.economy`)."""
        if self.known is not None and self.known.exists():
            self.runs = pickle.loads(self.known.read_bytes())
        names = [name for name in self._items if name not in self.runs]
        if len(names) < len(self._items):
            self._run_all(self._few())
        if names:
            self._note_lines(names)
        self.dropped += [run.test for run in self.runs.values() if run.failed]
        if self.known is not None:
            self.known.write_bytes(pickle.dumps(self.runs))
        gc.collect()
        gc.freeze()

    def _note_lines(self, names: list[str]) -> None:
        rules = sorted({str(Path(change.path).resolve()) for change in self.changes})
        watch = coverage.Coverage(data_file=None, config_file=False, include=rules)
        watch.set_option("run:disable_warnings", ["no-data-collected"])
        watch.start()
        self._run_all(names, watch)
        watch.stop()
        data, root = watch.get_data(), str(Path.cwd()) + os.sep
        for file in data.measured_files():
            lines: dict[str, set[int]] = {}
            for line, tests in data.contexts_by_lineno(file).items():
                for test in tests:
                    lines.setdefault(test, set()).add(line)
            for test in lines.keys() & self.runs.keys():
                self.runs[test].lines[file.removeprefix(root)] = frozenset(lines[test])

    def _run_all(self, names: list[str], watch: coverage.Coverage | None = None) -> None:
        for name, following in zip(names, [*names[1:], None], strict=True):
            if watch is not None:
                watch.switch_context(name)
            forget()
            began = time.process_time()
            failed = self._run([name], None, following)
            self.runs.setdefault(name, Run(name, time.process_time() - began, failed is not None, {}))
        forget()

    def _few(self) -> list[str]:
        """A few quick tests that run most lines of the rules."""
        missing = {(file, line) for run in self.runs.values() for file, lines in run.lines.items() for line in lines}
        few: list[str] = []
        for run in sorted(self.runs.values(), key=lambda run: run.seconds / (1 + sum(map(len, run.lines.values())))):
            mine = {(file, line) for file, lines in run.lines.items() for line in lines} & missing
            if run.test in self._items and not run.failed and run.seconds < 1 and len(mine) > 4:
                few.append(run.test)
                missing -= mine
        return sorted(few, key=list(self._items).index)

    # ── One change ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _in_time(self) -> Iterator[Change]:
        for change in self.changes:
            if time.monotonic() < self.until:
                yield change

    def _remember(self, function: str, test: str) -> None:
        """That this test noticed a change of this function, and so of its module."""
        for place in (function, ".".join(function.split(".")[:3])):
            self._killers.setdefault(place, Counter())[test] += 1

    def _tests_for(self, change: Change) -> list[str]:
        """Those that run its lines: first what noticed its neighbours, then the quick ones that run little else."""
        able = [
            run
            for run in self.runs.values()
            if not run.failed
            and run.test in self._items
            and not run.lines.get(change.path, frozenset()).isdisjoint(change.lines)
        ]
        near = self._killers.get(f"{change.module}.{change.function}", Counter())
        around = self._killers.get(change.module, Counter())

        def cost(run: Run) -> float:
            breadth = sum(map(len, run.lines.values()))
            return run.seconds * (50 + breadth) / (1 + 5 * near[run.test] + 2 * around[run.test])

        return [run.test for run in sorted(able, key=cost)]

    def _try(self, change: Change, folder: Path) -> tuple[str | None, int, int, float]:
        tests = self._tests_for(change)
        budget, chosen = self.patience, []
        for test in tests:
            budget -= self.runs[test].seconds
            if chosen and budget < 0:
                break
            chosen.append(test)
        began = time.process_time()
        try:
            apply(change)
        except Exception:  # noqa: BLE001 - the module could not even be imported: any test would see that
            return (chosen[0] if chosen else None), 0, len(tests), 0.0
        counted: list[str] = []
        failed = self._run(chosen, folder, counted=counted)
        return failed, len(counted), len(tests), time.process_time() - began

    def _verdict(self, change: Change, answer: Any) -> Verdict:
        if isinstance(answer, Failure):
            return Verdict(change, "hung" if answer.hung else "broke", by="" if answer.hung else answer.trace[-300:])
        failed, tests, candidates, seconds = answer
        if not candidates:
            return Verdict(change, "not covered")
        word = "survived" if failed is None else "killed"
        return Verdict(change, word, failed or "", tests, seconds, candidates)

    def _run(
        self, tests: list[str], folder: Path | None, following: str | None = None, counted: list[str] | None = None
    ) -> str | None:
        """Run tests in this process, up to the first that fails, and return that."""
        items = [self._items[name] for name in tests]
        if not items:
            return None
        config = items[0].config
        if folder is not None:
            config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
        watch = _Watch()
        config.pluginmanager.register(watch)
        last = self._items[following] if following else None
        try:
            for item, after in zip(items, [*items[1:], last], strict=True):
                if counted is not None:
                    counted.append(item.nodeid)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                if watch.failed:
                    return item.nodeid
            return None
        finally:
            config.pluginmanager.unregister(watch)

    def _clean(self, test: str, folder: Path) -> bool:
        return self._run([test], folder) is None

    def _confirm(self) -> None:
        """A test that failed for a change must pass without it, again; else its verdicts are taken back."""
        killers = sorted({verdict.by for verdict in self.verdicts if verdict.word == "killed"})
        for test, passed in in_children(killers, self._clean, at_once=self.at_once):
            if passed is not True:
                self.dropped.append(test)
                for verdict in self.verdicts:
                    if verdict.by == test:
                        verdict.word = "in doubt"


def forget() -> None:
    """Forget what is written once per process, as if it had run nothing: it would hide a change of what writes it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("idp."):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


class _Watch:
    def __init__(self) -> None:
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed
