"""`Image`: what buildah built, opened as a folder. `Box`: a program of an image, running as it would in a container.

A stand-in for a container engine on a machine that has none: namespaces by util-linux, the rest in `inside`. All boxes
of a test run share one network, the run's own: see `leave_for_an_empty_network`.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_INSIDE = Path(__file__).with_name("inside.py")
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
PATIENCE_SECONDS = 60.0


def leave_for_an_empty_network() -> None:
    """Move this process, and whatever it starts from now on, to a network with nothing in it but its own loopback.

    So every port is free and nothing outside can be reached. There is no way back for this process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


@dataclass(frozen=True)
class Image:
    """`root` is where its files are to be seen; `config` is the image's own, as the engines know it."""

    root: Path
    config: Mapping[str, Any]

    @classmethod
    def open(cls, name: str) -> "Image":
        """Mount an image of buildah's storage; `tests/containers/try-image` clears up."""
        container = _buildah("from", "--pull-never", name)
        root = Path(_buildah("mount", container))
        for file in ("hosts", "resolv.conf"):  # engines put them there, also where an image has none
            (root / "etc" / file).touch()
        return cls(root, json.loads(_buildah("inspect", "--type", "image", name))["Docker"])

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(entry.split("=", 1) for entry in self.config["config"]["Env"])

    @property
    def health_check(self) -> list[str]:
        """The command of the image's HEALTHCHECK."""
        kind, *command = self.config["config"]["Healthcheck"]["Test"]
        assert kind == "CMD"
        return command

    @property
    def default_command(self) -> list[str]:
        """What runs when nothing else is asked for."""
        return [*self.entrypoint, *self.config["config"]["Cmd"]]

    @property
    def entrypoint(self) -> list[str]:
        """What every command begins with."""
        return list(self.config["config"]["Entrypoint"])

    @property
    def user(self) -> tuple[int, int]:
        """User and group, which must be numbers."""
        user, group = self.config["config"]["User"].split(":")
        return int(user), int(group)


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@dataclass
class Box:
    """One container. `volumes` maps folders in it to folders here; `hosts` are names of 127.0.0.1."""

    image: Image
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)
    tmpfs: Sequence[str] = ("/tmp",)
    hosts: Path | None = None
    process: subprocess.Popen[str] | None = None

    def start(self) -> "Box":
        """Start the program. Output and errors together are what `stop` and `wait` return."""
        names = {"/etc/hosts": self.hosts} if self.hosts else {}
        user, group = self.image.user
        spec = {
            "root": str(self.image.root),
            "volumes": {target: str(source) for target, source in {**self.volumes, **names}.items()},
            "tmpfs": list(self.tmpfs),
            "user": user,
            "group": group,
            "folder": self.image.config["config"]["WorkingDir"],
            "environment": self._environment(),
            "command": list(self.command),
        }
        # The leash: when this test run dies, so does the box.
        leash = ["setpriv", "--pdeathsig", "KILL"]
        spaces = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
        self.process = subprocess.Popen(
            [*leash, *spaces, sys.executable, "-I", str(_INSIDE), json.dumps(spec)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_inside() and self.process.poll() is None:
            assert time.monotonic() < deadline, "its namespaces don't come to be"
            time.sleep(0.01)
        return self

    def run(self) -> subprocess.CompletedProcess[str]:
        """Start it and wait for its end."""
        return self.start().wait()

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Its exit status and all that it said."""
        assert self.process is not None
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(list(self.command), self.process.returncode, output)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another program in the same container, as `docker exec` does."""
        user, group = self.image.user
        variables = [f"{name}={value}" for name, value in self._environment().items()]
        enter = ["nsenter", "--target", str(self.first_process), "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"]
        return subprocess.run(
            [*enter, "--setuid", str(user), "--setgid", str(group), "/usr/bin/env", "-i", *variables, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> subprocess.CompletedProcess[str]:
        """Signal the first process of the container, as `docker stop` does, and wait."""
        os.kill(self.first_process, number)
        return self.wait()

    def wait_until_healthy(self, command: Sequence[str] = ()) -> None:
        """Ask with the image's health check, or another, until the answer is yes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := self.execute(*(command or self.image.health_check))).returncode:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended: {self.wait().stdout}"
            assert time.monotonic() < deadline, answer.stdout
            time.sleep(0.2)

    @property
    def first_process(self) -> int:
        """The process that is number 1 in there, by its number out here."""
        first = self._find_first_process()
        assert first is not None, "it has ended"
        return first

    def _find_first_process(self) -> int | None:
        assert self.process is not None
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def _is_inside(self) -> bool:
        """Whether the first process has come as far as its new root."""
        first = self._find_first_process()
        try:
            return first is not None and Path(f"/proc/{first}/root").readlink() == self.image.root
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        return {**self.image.environment, **self.environment}
