"""`make mutate`: change the rules one at a time, and see whether a test notices. What was found is in docs/mutation.md.

The changes are judged in random order: wherever a run is stopped, what it judged is a fair sample of all.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.mutation.changes import Change, find_changes
from tests.mutation.children import use_memory
from tests.mutation.report import NOTICED, entry_of, table

say = partial(print, flush=True)

# For every run of CI: rules that are pure decisions, and the tests that hold them. To find out which of all tests
# run which rule takes too long for that.
SHARPEST = ["idp.tokens.turns.*", "idp.tokens.refresh_tokens.*", "idp.outbox.next_step.*", "idp.tokens.revoke.*"]
THEIR_TESTS = [
    "tests/tokens/test_turns.py",
    "tests/tokens/test_good_now.py",
    "tests/tokens/test_refresh_token_text.py",
    "tests/tokens/test_what_is_recorded.py",
    "tests/outbox/test_next_step.py",
    "tests/sessions/test_ending.py",
    "tests/sessions/test_attack_hints.py",
]


def main() -> int:
    """Judge; 0 when the share of noticed changes is no smaller than `--floor` per cent."""
    parser = argparse.ArgumentParser(prog="tests.mutation", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of changes, with *: idp.tokens.turns.*")
    parser.add_argument("--sharpest", action="store_true", help="only SHARPEST, and say of each survivor what it is")
    parser.add_argument("--seed", default="", help="another order")
    parser.add_argument("--floor", type=float, default=0.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--patience", type=float, default=3.0, help="seconds of tests that a change must live through")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="judge no more after so many")
    parser.add_argument("--again", action="store_true", help="judge once more what --results says was not noticed")
    parser.add_argument("--results", type=Path, default=Path("build/mutation.json"))
    parser.add_argument("--map", type=Path, help="keeps which test runs which line; only for an unchanged tree")
    parser.add_argument("--show", action="store_true", help="print what --results says, and judge nothing")
    given = parser.parse_args()
    if given.show:
        say(table(json.loads(given.results.read_text())))
        return 0
    os.environ["CI"] = "true"  # the same examples of Hypothesis for every change
    use_memory()
    return _judge(given)


def _judge(given: argparse.Namespace) -> int:
    # Late: what they import must find the folder for temporary files as it is now.
    import pytest
    from mutmut.configuration import config

    from tests.mutation.judge import Judge, Verdict

    # What was started ends with us. SystemExit would be a failure of the test that happens to run.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended", 1))
    began = time.monotonic()
    before = json.loads(given.results.read_text()) if given.again else []
    tests = list(config().pytest_add_cli_args_test_selection)
    if given.sharpest:
        given.only, tests = SHARPEST, THEIR_TESTS
    changes = _chosen(given, before)
    say(f"{len(changes)} changes.")

    def tell(verdict: Verdict, number: int) -> None:
        if verdict.word not in NOTICED and given.sharpest:
            say(f"\n{verdict.word}: {verdict.change.name}\n{verdict.change.diff}")
        if number % 20 == 0 and not given.sharpest:
            say(f"{number} of {len(changes)} after {time.monotonic() - began:.0f} s")
            _write(given.results, judge.verdicts, before)

    judge = Judge(changes, given.jobs, given.patience, tell, given.map, began + 60 * given.minutes, before)
    status = pytest.main(
        ["-p", "no:cacheprovider", "-o", "timeout=0", "-s", *config().pytest_add_cli_args, *tests], plugins=[judge]
    )
    if not judge.verdicts:
        return int(status) or 1
    entries = _write(given.results, judge.verdicts, before)
    words = Counter(entry["word"] for entry in entries)
    share = 100 * sum(words[word] for word in NOTICED) / len(entries)
    if not given.sharpest:
        say(table(entries))
    for name in judge.dropped:
        say("Not asked, as it fails in an unchanged tree:", name)
    counts = ", ".join(f"{count} {word}" for word, count in words.most_common())
    say(f"{len(entries)} changes: {counts}; {share:.1f} % noticed; {time.monotonic() - began:.0f} s.")
    if share < given.floor:
        say(f"Fewer than {given.floor:.0f} % of the changes were noticed: docs/mutation.md.")
        return 1
    return 0


def _chosen(given: argparse.Namespace, before: list[dict[str, object]]) -> list[Change]:
    changes = find_changes(given.only)
    if given.again:
        left = {entry["identity"] for entry in before if entry["word"] not in NOTICED}
        changes = [change for change in changes if change.identity in left]
    random.Random(given.seed).shuffle(changes)
    return changes


def _write(path: Path, verdicts: Sequence[object], before: list[dict[str, object]]) -> list[dict[str, object]]:
    """Write down all verdicts, new ones in the place of older ones about the same change."""
    entries = {str(entry["identity"]): entry for entry in before}
    entries |= {str(entry["identity"]): entry for entry in map(entry_of, verdicts)}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(list(entries.values()), indent=1))
    return list(entries.values())


if __name__ == "__main__":
    sys.exit(main())
