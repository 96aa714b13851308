"""The table of design §5 as a pure function: what a presented generation means for a live family.

The one-statement refresh (`idp.tokens.refresh`) carries the rows *rotate* and *hold* as SQL; the tests hold that SQL
against this function, and an exhaustive model against what the table promises.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Turn(StrEnum):
    """What happens to a family when one of its genuine tokens is presented."""

    ROTATE = "rotate"
    HOLD = "hold"
    SKIP = "skip"
    REUSE = "reuse"
    AHEAD = "ahead"


@dataclass(frozen=True)
class Generations:
    """The generation state of a family."""

    live: int
    parent: int | None
    rotated_at: datetime | None


def decide(
    state: Generations,
    presented: int,
    *,
    now: datetime,
    leeway: timedelta,
    lost_answer: timedelta,
    rotates: bool = True,
) -> Turn:
    """What a genuine token of generation `presented` gets. `rotates` is False for clients whose policy is `off`.

    At most one rotation per leeway, one live token at any moment, one parent to remember (RFC 9700 §4.14.2).
    """
    if presented > state.live:
        return Turn.AHEAD
    # A clock that stepped back must not turn an honest retry into a theft: elapsed time is never negative.
    elapsed = None if state.rotated_at is None else max(now - state.rotated_at, timedelta(0))
    if presented == state.live:
        return Turn.HOLD if not rotates or (elapsed is not None and elapsed <= leeway) else Turn.ROTATE
    if presented == state.parent and elapsed is not None:
        if elapsed <= leeway:
            return Turn.HOLD
        if elapsed <= lost_answer:
            return Turn.SKIP
    return Turn.REUSE


def advance(state: Generations, turn: Turn, *, now: datetime) -> Generations:
    """The state after a turn. Reuse and ahead leave it: the family is revoked instead."""
    if turn is Turn.ROTATE:
        return Generations(live=state.live + 1, parent=state.live, rotated_at=now)
    if turn is Turn.SKIP:
        # The successor that never arrived is from now on reuse; the parent stays the one that was presented.
        return Generations(live=state.live + 1, parent=state.parent, rotated_at=now)
    return state
