"""`python -m benchmarks`: measure, and write docs/benchmarks.md. `--quick` only shows that all can be measured."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import load, report
from benchmarks.postgres import NotPossible, postgres
from benchmarks.runner import measure_server, say_to_terminal

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
SERVERS = ("gunicorn", "granian")


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few requests of each kind; the figures mean little")
    parser.add_argument("--server", action="append", choices=SERVERS, help="default: both")
    parser.add_argument("--only", default="", help="only operations whose name contains this")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="a file for the figures, for comparing two runs")
    parser.add_argument("--remark", default="", help="a sentence about the machine, for the page")
    given = parser.parse_args()
    started, machine = time.monotonic(), report.Machine.look()
    results = []
    try:
        # One database per server: the second must not meet tables that the first has filled.
        for server in given.server or SERVERS:
            with tempfile.TemporaryDirectory(prefix="idp-bench-", dir=os.environ.get("BENCH_FOLDER")) as folder:
                generator = load.compile_generator(Path(folder))
                with postgres() as database:
                    machine = machine.with_database(database)
                    results.append(
                        measure_server(
                            server,
                            database=database,
                            generator=generator,
                            folder=Path(folder) / server,
                            is_quick=given.quick,
                            only=given.only,
                            say=say_to_terminal,
                        )
                    )
            # After each server: what was measured is not lost when the next one fails.
            seconds = time.monotonic() - started
            text = report.write(results, machine, seconds=seconds, is_quick=given.quick, remark=given.remark)
            given.output.write_text(text)
            if given.json:
                given.json.write_text(json.dumps([result.as_dict() for result in results], indent=1))
            say_to_terminal(f"Written: {given.output} ({seconds:.0f} s)")
    except NotPossible as problem:
        sys.exit(f"The benchmark can't run: {problem}")


if __name__ == "__main__":
    main()
