"""What became of the changes, in words and as a table."""

from collections import Counter, defaultdict
from typing import Any

# A test that fails and a test that hangs are red both: pytest ends a test after two minutes.
NOTICED = ("killed", "hung")


def entry_of(verdict: Any) -> dict[str, Any]:
    """A verdict as it is written down."""
    change = verdict.change
    return {
        "name": change.name,
        "identity": change.identity,
        "word": verdict.word,
        "by": verdict.by,
        "tests": verdict.tests,
        "candidates": verdict.candidates,
        "seconds": round(verdict.seconds, 3),
        "line": change.line,
        "diff": change.diff,
    }


def table(entries: list[dict[str, Any]]) -> str:
    """Modules with their figures, as Markdown."""
    modules: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        path = entry["name"].partition("#")[0].split(".")
        modules["/".join(path[:3]) + ".py"][entry["word"]] += 1
        modules["**all**"][entry["word"]] += 1
    lines = ["| module | judged | killed | hung | survived | run by no test | noticed |", "|---|" + "---:|" * 6]
    for name in sorted(modules, key=lambda name: (name.startswith("*"), name)):
        words = modules[name]
        judged = sum(words.values())
        share = 100 * sum(words[word] for word in NOTICED) / judged
        others = judged - sum(words[word] for word in ("killed", "hung", "not covered"))
        label = name if name.startswith("*") else f"`{name}`"
        counts = (judged, words["killed"], words["hung"], others, words["not covered"])
        lines.append(f"| {label} | {' | '.join(map(str, counts))} | {share:.0f} % |")
    return "\n".join(lines)
