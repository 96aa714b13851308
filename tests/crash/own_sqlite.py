"""The embedded database of one crash run: a file, and a limit on the size of files that fills its disk.

The limit (RLIMIT_FSIZE, which needs no root) is laid on the running programs from outside: every write beyond it fails
with EFBIG, in the database, its write-ahead log and whatever else they write, until it is lifted. Linux (prlimit(2)).
"""

import resource
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# The log has been longer than this since the schema was made, unless a checkpoint has just let it begin anew.
FULL_BYTES = 16 * 1024


class OwnSqlite:
    """One file. Programs and whoever looks past them use the same address."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'crash.sqlite3'}"
        self.service_url = self.url

    @property
    def can_be_full(self) -> bool:
        """Whether `fill` can be used."""
        return hasattr(resource, "prlimit")

    def fill(self, pids: Iterable[int]) -> None:
        """Let no write of these programs succeed that makes a file longer than a few pages."""
        self._limit(pids, FULL_BYTES)

    def make_room(self, pids: Iterable[int]) -> None:
        """The opposite."""
        self._limit(pids, resource.RLIM_INFINITY)

    def _limit(self, pids: Iterable[int], size: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))

    def end(self) -> None:
        """Nothing runs; the file goes with its folder."""
