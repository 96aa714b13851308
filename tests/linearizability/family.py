"""The sequential specification of one token family, from design §5: what each operation does to it, one at a time."""

from dataclasses import dataclass, replace
from typing import Any

from tests.linearizability.checker import Operation

LEEWAY, WINDOW, ACCESS = 10, 24 * 3600, 300

REFUSED = "refused"


@dataclass(frozen=True)
class FamilyState:
    """A family, and the sign-in that it hangs on. Times are whole seconds of the nodes' clock."""

    live: int = 1
    parent: int | None = None
    rotated_at: int | None = None
    expires_at: int = 0  # of the last access token that went out
    is_over: bool = False  # the family
    is_session_over: bool = False
    is_app: bool = True


@dataclass(frozen=True)
class Presented:
    """A refresh token of some generation, at a node whose clock says `now`."""

    generation: int
    now: int


def specification(state: FamilyState, operation: Operation) -> tuple[FamilyState, Any]:
    """The state after the operation, and its answer."""
    match operation.name:
        case "refresh":
            return _refresh(state, operation.argument)
        case "introspect":
            return state, _turn(state, operation.argument) in {"rotate", "hold", "skip"}
        case "end":
            return _end(state, operation.argument)
        case "revoke":
            return _revoke(state)
    raise AssertionError(operation.name)


def _turn(state: FamilyState, presented: Presented) -> str:
    if state.is_over:
        return REFUSED
    elapsed = None if state.rotated_at is None else max(presented.now - state.rotated_at, 0)
    is_fresh = elapsed is not None and elapsed <= LEEWAY
    if presented.generation == state.live:
        return "hold" if is_fresh else "rotate"
    if presented.generation == state.parent and elapsed is not None and elapsed <= WINDOW:
        return "hold" if is_fresh else "skip"
    return "reuse"


def _refresh(state: FamilyState, presented: Presented) -> tuple[FamilyState, Any]:
    turn = _turn(state, presented)
    if turn == REFUSED:
        return state, REFUSED
    if turn == "reuse":
        return replace(state, is_over=True, is_session_over=state.is_session_over or state.is_app), REFUSED
    if turn == "rotate":
        state = replace(state, parent=state.live, live=state.live + 1, rotated_at=presented.now)
    elif turn == "skip":
        state = replace(state, live=state.live + 1, rotated_at=presented.now)
    expires_at = presented.now + ACCESS
    return replace(state, expires_at=max(state.expires_at, expires_at)), (state.live, expires_at)


def _end(state: FamilyState, now: int) -> tuple[FamilyState, Any]:
    """Answers when the last access token dies; None when there was nothing left to end."""
    if state.is_session_over:
        return state, None
    return replace(state, is_over=True, is_session_over=True), state.expires_at


def _revoke(state: FamilyState) -> tuple[FamilyState, Any]:
    if state.is_over:
        return state, False
    return replace(state, is_over=True, is_session_over=state.is_session_over or state.is_app), True
