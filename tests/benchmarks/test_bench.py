"""`make bench` can measure everything that it lists. The figures are not judged: a test machine is busy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.operations import KINDS
from tests.support.databases import RUN_FOLDER

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
def test_a_quick_run_measures_every_operation_and_writes_its_row(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--server", "gunicorn", "--output", str(page)]

    # Where the databases of tests are, in memory if possible: no figure is looked at.
    environment = {**os.environ, "BENCH_FOLDER": str(Path(os.environ[RUN_FOLDER]).parent)}

    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    names = [row[0].removeprefix("| ") for row in rows]
    for kind in KINDS:
        assert names.count(kind.name) == 2, f"{kind.name}: one row of costs and one of times"
    costs = {row[0].removeprefix("| "): row for row in rows if len(row) == 7}
    assert costs["refresh, rotating, ES256"][5] == "1"
    assert costs["discovery"][5:] == ["0", "0 |"]
