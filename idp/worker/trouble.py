"""What a loop does about an error: say in one line what happened, and come again after a pause.

Owns the words for a log line (never a value that a driver quotes) and the lengths of the pauses. Refuses to end a loop:
a worker that exits delivers nothing.
"""

from sqlalchemy.exc import DBAPIError

LONGEST_PAUSE_SECONDS = 30.0
SHORTEST_PAUSE_SECONDS = 0.5


def describe(error: Exception) -> str:
    """What happened, for a log line: the first line only, since drivers quote values in the following ones."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines() if isinstance(error, DBAPIError) else []
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__


class Pause:
    """How long to wait after an error: longer after each, short again after a success."""

    def __init__(self) -> None:
        self._seconds = SHORTEST_PAUSE_SECONDS

    def next(self) -> float:
        seconds, self._seconds = self._seconds, min(LONGEST_PAUSE_SECONDS, self._seconds * 2)
        return seconds

    def reset(self) -> None:
        self._seconds = SHORTEST_PAUSE_SECONDS
