"""What a loop does about an error, besides a line that says what happened: come again after a pause.

Owns the lengths of the pauses. Refuses to end a loop: a worker that exits delivers nothing.
"""

LONGEST_PAUSE_SECONDS = 30.0
SHORTEST_PAUSE_SECONDS = 0.5


class Pause:
    """How long to wait after an error: longer after each, short again after a success."""

    def __init__(self) -> None:
        self._seconds = SHORTEST_PAUSE_SECONDS

    def next(self) -> float:
        seconds, self._seconds = self._seconds, min(LONGEST_PAUSE_SECONDS, self._seconds * 2)
        return seconds

    def reset(self) -> None:
        self._seconds = SHORTEST_PAUSE_SECONDS
