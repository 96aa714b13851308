"""The folder of a run: private, found by its processes, and removed when nobody owns it any more."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from idp.kit.run_folder import VARIABLE, RunFolder, is_draining, metrics_folder

ROOT = Path(__file__).resolve().parents[2]
_OWNER = """
import sys, time
from pathlib import Path
from idp.kit.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_it_is_for_this_user_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.metrics.is_dir()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_its_processes_find_it_by_their_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    assert metrics_folder() is None
    assert not is_draining()
    for name, value in folder.environment.items():
        monkeypatch.setenv(name, value)

    assert metrics_folder() == folder.metrics
    assert not is_draining()
    folder.mark_draining()
    assert is_draining()
    folder.remove()
    monkeypatch.delenv(VARIABLE)
    assert not is_draining()


def test_the_next_start_removes_what_a_killed_one_left_and_leaves_the_living_alone(tmp_path: Path) -> None:
    owners = [
        subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, alive = owners
    paths = [Path((owner.stdout.readline() if owner.stdout else "").strip()) for owner in owners]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    half_made = tmp_path / "idp-run-half-made"
    half_made.mkdir()
    (tmp_path / "of-somebody-else").mkdir()

    mine = RunFolder(tmp_path)

    try:
        assert {path.name for path in tmp_path.iterdir()} == {
            *(paths[1].name, mine.path.name, half_made.name, "of-somebody-else")
        }
    finally:
        mine.remove()
        alive.communicate("")
