"""The folder of one run of `idp serve`: what its processes share, and what is worth nothing when the last is gone.

It holds the metrics' files (prometheus_client maps them into every process) and the mark that says "draining". Each
folder is locked for as long as its owner lives, so that the next start removes what a killed one left behind, and only
that. In memory where the system offers it: counters are written with every request.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "IDP_RUN_FOLDER"
PROMETHEUS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "idp-run-"
_LOCK = "owner.lock"
_DRAINING = "draining"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it, for this user alone


class RunFolder:
    """A fresh folder, ours until `remove` or the end of this process."""

    def __init__(self, base: Path | None = None) -> None:
        self._base = base or _memory_or_disk()
        _remove_abandoned(self._base)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._base))  # mode 0700
        self.metrics = self.path / "metrics"
        self.metrics.mkdir()
        # Locked before it has its name, or another start could find it unlocked.
        unnamed = self.path / "owner.new"
        self._lock = unnamed.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / _LOCK)

    @property
    def environment(self) -> dict[str, str]:
        """What the children need to find it."""
        return {VARIABLE: str(self.path), PROMETHEUS_VARIABLE: str(self.metrics)}

    def mark_draining(self) -> None:
        """From now on every process of this run says that it is not ready."""
        (self.path / _DRAINING).touch()

    def remove(self) -> None:
        """Delete it. Call it when the children are gone."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def is_draining() -> bool:
    """Whether the run that this process belongs to is coming to its end. False outside of a run."""
    folder = os.environ.get(VARIABLE)
    return folder is not None and (Path(folder) / _DRAINING).exists()


def metrics_folder() -> Path | None:
    """Where the processes of this run keep their numbers; None for a process that counts for itself."""
    folder = os.environ.get(PROMETHEUS_VARIABLE)
    return Path(folder) if folder else None


def _memory_or_disk() -> Path:
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _remove_abandoned(base: Path) -> None:
    for folder in base.glob(_PREFIX + "*"):
        try:
            # Only if it is there: one that is just being made has no lock file yet, and is somebody's.
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # alive, another user's, or just made
