"""Waiting for real processes and threads, and where they may listen. Time is a fixture everywhere else."""

import socket
import time
from collections.abc import Callable
from typing import Any


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What `condition` gives, once it gives something. Fails after so many seconds, which are never waited out else."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return found
