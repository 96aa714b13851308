"""A short crash run on either database, with every kind of fault; `make crash` runs long ones.

Real processes, real clocks, real HTTP, so one test each: the installation takes longer to start than a round to pass.
"""

from pathlib import Path

import pytest

from tests.crash.faults import Kind
from tests.crash.own_postgres import OwnPostgres
from tests.crash.own_sqlite import OwnSqlite
from tests.crash.rounds import Tally, run, set_up

SEED = 4  # the order of events is the machine's all the same
HASTE = 3


@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_whatever_is_killed_cut_or_full(tmp_path: Path) -> None:
    with set_up(tmp_path, OwnPostgres(small_disk=True)) as stage:
        tallies = run(stage, rounds=14, seed=SEED, haste=HASTE)

    nothing_was_wrong(tallies, rounds=14)
    refusals = {kind: tally.ledger.unavailable for kind, tally in tallies.items()}
    assert refusals[Kind.CUT_BEFORE] + refusals[Kind.CUT_AFTER] > 0, "the cuts hit nobody: the test says nothing"
    assert refusals[Kind.POSTGRES] > 0, "nobody saw the database stop: the test says nothing"


@pytest.mark.timeout(600)
def test_the_embedded_database_loses_nothing_either(tmp_path: Path) -> None:
    with set_up(tmp_path, OwnSqlite(tmp_path)) as stage:
        tallies = run(stage, rounds=6, seed=SEED, haste=HASTE)

    nothing_was_wrong(tallies, rounds=6)
    if stage.cluster.database.can_be_full:
        assert tallies[Kind.DISK].ledger.unavailable > 0, "the disk was full for nobody: the test says nothing"


def nothing_was_wrong(tallies: dict[Kind, Tally], *, rounds: int) -> None:
    assert [line for tally in tallies.values() for line in tally.wrong] == []
    assert sum(tally.rounds for tally in tallies.values()) == rounds
    ledgers = [tally.ledger for tally in tallies.values()]
    assert sum(ledger.ends for ledger in ledgers) > 0
    assert sum(ledger.rotations for ledger in ledgers) > 0
    assert sum(tally.notices for tally in tallies.values()) > 0
