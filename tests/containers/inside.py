"""Runs as a script, as the first process in namespaces of its own: makes a container's view of the world and becomes
the container's program, without root's rights. `box` starts it, with one JSON document as its only argument.

What a container engine does, to the extent that compose.yaml and the Dockerfile ask for it: a root that nobody can
write to, /proc, /dev, memory for /tmp and /dev/shm, volumes, the image's user, and no way to more privileges.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_PR_SET_NO_NEW_PRIVS = 38
_DEVICES = ("null", "zero", "full", "random", "urandom")


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def become(spec: dict[str, Any]) -> None:
    """Never returns: `spec` has root, volumes (target → source), tmpfs, user, group, folder, environment, command."""
    root = Path(spec["root"])
    _mount("--bind", root, root)
    _mount("-o", "remount,bind,ro", root)
    _mount("-t", "proc", "proc", root / "proc")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for device in _DEVICES:
        (root / "dev" / device).touch()
        _mount("--bind", Path("/dev") / device, root / "dev" / device)
    (root / "dev" / "shm").mkdir()
    for folder in ("/dev/shm", *spec["tmpfs"]):
        _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / folder.lstrip("/"))
    for target, source in spec["volumes"].items():
        _mount("--bind", source, root / target.lstrip("/"))
    os.chroot(root)
    os.chdir(spec["folder"])
    os.setgroups([])
    os.setgid(spec["group"])
    os.setuid(spec["user"])
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    os.environ["PATH"] = spec["environment"]["PATH"]  # by which execvpe looks
    os.execvpe(spec["command"][0], spec["command"], spec["environment"])


if __name__ == "__main__":
    become(json.loads(sys.argv[1]))
