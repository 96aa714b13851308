"""What the page on draining calls waiting: from commit to arrival, and how long somebody with notices due got none."""

import pytest

from benchmarks.drain import Run
from benchmarks.drain_report import unserved, waits


def run(committed: dict[str, float], arrived: dict[str, float], workers_began: float | None = None) -> Run:
    """Applications are numbered by the first letter of the `sid`."""
    application = {sid: ord(sid[0]) for sid in committed}
    return Run("a run", False, workers_began, committed, application, arrived)


def test_a_wait_begins_with_the_commit_or_when_the_workers_go_on() -> None:
    committed, arrived = {"a1": 10.0, "b1": 11.0}, {"a1": 10.5, "b1": 14.0}

    assert waits(run(committed, arrived)) == [0.5, 3.0]
    assert waits(run(committed, arrived, workers_began=12.0)) == [0.0, 2.0]


def test_at_once_the_longest_gap_counts_and_the_one_before_the_first_arrival() -> None:
    committed = {"a1": 1.0, "a2": 1.0, "b1": 1.0}

    late = run(committed, {"a1": 20.5, "a2": 21.0, "b1": 23.0}, workers_began=20.0)
    gap = run(committed, {"a1": 20.5, "a2": 24.5, "b1": 21.0}, workers_began=20.0)

    assert (unserved(late), unserved(gap)) == (3.0, 4.0)


def test_steadily_nobody_waits_while_nothing_is_due() -> None:
    committed = {"a1": 10.0, "a2": 50.0, "a3": 50.0}

    assert unserved(run(committed, {"a1": 10.2, "a2": 50.1, "a3": 50.6})) == pytest.approx(0.5)
