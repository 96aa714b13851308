"""A short crash run with every kind of fault that needs no program started anew; `make crash` runs long ones, with all.

Real processes, real clocks, real HTTP, so one test: the installation takes longer to start than a round to pass.
"""

from pathlib import Path

import pytest

from tests.crash.faults import QUICK, Kind
from tests.crash.rounds import run, set_up

ROUNDS = 14
SEED = 4  # the order of events is the machine's all the same


@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_whatever_is_killed_cut_or_full(tmp_path: Path) -> None:
    with set_up(tmp_path, small_disk=True) as stage:
        tallies = run(stage, rounds=ROUNDS, seed=SEED, kinds=QUICK)

    assert [line for tally in tallies.values() for line in tally.wrong] == []
    seen = {kind: tally.ledger for kind, tally in tallies.items()}
    assert sum(tally.rounds for tally in tallies.values()) == ROUNDS
    for kind in (Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.POSTGRES):
        assert seen[kind].unavailable > 0, f"{kind} hit nobody: the test says nothing"
    assert sum(ledger.ends for ledger in seen.values()) > 0
    assert sum(ledger.rotations for ledger in seen.values()) > 0
    assert sum(tally.notices for tally in tallies.values()) > 0
