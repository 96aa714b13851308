"""`make crash ROUNDS=n`: a crash run by hand, with its table on standard output."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.faults import Kind
from tests.crash.own_postgres import OwnPostgres
from tests.crash.own_sqlite import OwnSqlite
from tests.crash.rounds import Tally, run, set_up

HEADINGS = (
    "fault",
    "rounds",
    "seconds each",
    "ends",
    "rotations",
    "notices",
    "lost answers",
    "503",
    "recovered by a retry",
    "most retries",
    "wrong",
)


def main() -> int:
    """Run; 0 only when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no round after so many")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with us
    folder = Path(tempfile.mkdtemp(prefix="idp-crash-"))
    print(f"{given.rounds} rounds on {given.database}, --seed {given.seed}", flush=True)  # noqa: T201
    began = time.monotonic()
    database = OwnSqlite(folder) if given.database == "sqlite" else OwnPostgres(small_disk=True)
    with set_up(folder, database) as stage:
        if not database.can_be_full:
            print("Without leave to mount a file system (root, Linux) the disk never fills up.")  # noqa: T201
        tallies = run(stage, rounds=given.rounds, seed=given.seed, seconds=60 * given.minutes, told=_tell)
    print(f"\n{table(tallies)}\n\n{time.monotonic() - began:.0f} s")  # noqa: T201
    wrong = [line for tally in tallies.values() for line in tally.wrong]
    for line in wrong:
        print("WRONG:", line)  # noqa: T201
    if wrong:
        print("The log is in", folder)  # noqa: T201
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def table(tallies: dict[Kind, Tally]) -> str:
    """The figures as Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for kind, tally in tallies.items():
        if tally.rounds:
            figures = tally.ledger
            cells = (
                str(kind),
                tally.rounds,
                f"{tally.seconds / tally.rounds:.1f}",
                figures.ends,
                figures.rotations,
                tally.notices,
                figures.lost,
                figures.unavailable,
                figures.recovered,
                figures.most_retries,
                len(tally.wrong),
            )
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _tell(number: int, kind: Kind, tally: Tally) -> None:
    words = "WRONG" if tally.wrong else "ok"
    print(f"round {number + 1}: {kind}: {words} ({tally.seconds / tally.rounds:.1f} s each)", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
