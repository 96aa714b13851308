"""Run as a script: becomes the given program, which the kernel ends when the process that started it dies.

A supervisor that is killed without warning (kill -9, out of memory) can't end its children, and a server left behind
would keep its port. Linux only (prctl(2), PR_SET_PDEATHSIG, kept across exec); elsewhere the program simply starts.
Imports nothing of ours: it must start at once.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(parent: int, command: list[str]) -> None:
    """Replace this process by `command`, on the leash of the process `parent`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the leash was on
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the command line is ours


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
