"""A lane full of hanging applications has room again after a tenth of a second, and never more than eightfold."""

import pytest

from idp.worker.lanes import SLOW_AFTER_SECONDS, SLOW_FACTOR, LaneUse


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("idp.worker.lanes.time.monotonic", lambda: now[0])
    return now


def test_attempts_that_hang_keep_a_lane_full_for_a_tenth_of_a_second_only(seconds: list[float]) -> None:
    use = LaneUse(3)
    for number in range(3):
        use.enter(f"hangs {number}")
    assert use.room() == 0

    seconds[0] += SLOW_AFTER_SECONDS - 0.01
    assert use.room() == 0
    seconds[0] += 0.01

    assert SLOW_AFTER_SECONDS <= 0.1
    assert use.room() == 3


def test_a_lane_takes_a_bounded_number_of_hanging_attempts(seconds: list[float]) -> None:
    use, entered = LaneUse(3), 0
    while use.room():
        for _ in range(use.room()):
            use.enter(f"hangs {entered}")
            entered += 1
        seconds[0] += 1

    assert entered == 3 * (1 + SLOW_FACTOR)
    use.leave("hangs 0")
    assert use.room() == 1
