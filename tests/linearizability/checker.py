"""Is a history of concurrent operations linearizable? The search of Wing and Gong (1993), with Lowe's memory (2017).

A history is linearizable when its operations can be put into one order that the sequential specification allows, and in
which nothing that had returned comes after something that was called later. Knows nothing of tokens.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

State = TypeVar("State", bound=Hashable)


class _Unknown:
    """The answer of an operation that failed on the way: it may have happened, at any later time, or not at all."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Operation:
    """What somebody asked and was answered. `called` and `returned` are moments of one clock that only goes on."""

    name: str
    argument: Any
    answer: Any
    called: float
    returned: float

    @property
    def latest(self) -> float:
        """By when it had happened, if it did."""
        return math.inf if self.answer is UNKNOWN else self.returned


Specification = Callable[[State, Operation], tuple[State, Any]]


@dataclass
class _Search(Generic[State]):
    history: list[Operation]
    specification: Specification[State]
    dead_ends: set[tuple[int, State]]

    def find(self, start: State) -> list[Operation] | None:
        """Depth first, with a stack of our own: a history is longer than Python's."""
        everything = (1 << len(self.history)) - 1
        stack = [(everything, start, iter(self._next(everything, start)))]
        order: list[Operation] = []
        while True:
            left, state, candidates = stack[-1]
            if all(self.history[index].answer is UNKNOWN for index in _bits(left)):
                return order
            step = next(candidates, None)
            if step is not None:
                index, after = step
                key = (left & ~(1 << index), after)
                if key not in self.dead_ends:
                    order.append(self.history[index])
                    stack.append((*key, iter(self._next(*key))))
                continue
            self.dead_ends.add((left, state))
            stack.pop()
            if not stack:
                return None
            order.pop()

    def _next(self, left: int, state: State) -> list[tuple[int, State]]:
        """What may come next: called before anything that is left had returned, and answered as specified."""
        indexes = _bits(left)
        deadline = min(self.history[index].latest for index in indexes) if indexes else math.inf
        found: list[tuple[int, State]] = []
        for index in indexes:
            operation = self.history[index]
            if operation.called > deadline:
                break  # the history is in the order of the calls
            after, answer = self.specification(state, operation)
            if operation.answer is UNKNOWN:
                if after != state:
                    found.append((index, after))
            elif answer == operation.answer:
                if after == state:
                    # It changes nothing and is right just now: if any order works, one with it here does. No branches.
                    return [(index, after)]
                found.append((index, after))
        return found


def find_order(
    history: Sequence[Operation], start: State, specification: Specification[State]
) -> list[Operation] | None:
    """An order of `history` that `specification` allows from `start`, or None: it is not linearizable.

    `specification` is pure: state and operation to the next state and the right answer. Operations whose answer is
    UNKNOWN may be left out.
    """
    ordered = sorted(history, key=lambda operation: operation.called)
    return _Search(ordered, specification, set()).find(start)


def _bits(number: int) -> list[int]:
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found
