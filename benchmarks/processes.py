"""What running programs have used: processor time and memory of a process and everything below it. Linux only."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(root: int) -> float:
    """User and system time of the tree of `root` so far; children that ended and were waited for included."""
    return sum(sum(map(int, _fields(pid)[11:15])) for pid in tree(root)) / _TICKS


def pss_bytes(root: int) -> int:
    """Memory of the tree of `root`, pages that several share divided among them (proportional set size)."""
    total = 0
    for pid in tree(root):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def tree(root: int) -> Iterator[int]:
    """`root` and its living descendants."""
    yield root
    for child in _children(root):
        yield from tree(child)


def _children(pid: int) -> list[int]:
    try:
        listed = [(thread / "children").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # the process, or a thread of it, has just ended
        return []
    return [int(child) for text in listed for child in text.split()]


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the name before them may hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 50
