"""The checker itself: it finds the order where there is one, and rejects every kind of history that must not happen."""

import pytest

from tests.linearizability.checker import UNKNOWN, Operation, find_order
from tests.linearizability.family import REFUSED, FamilyState, Presented, specification


def refresh(called: float, returned: float, generation: int, now: int, answer: object) -> Operation:
    return Operation("refresh", Presented(generation, now), answer, called, returned)


def introspect(called: float, returned: float, generation: int, now: int, answer: bool) -> Operation:
    return Operation("introspect", Presented(generation, now), answer, called, returned)


def end(called: float, returned: float, answer: object, now: int = 0) -> Operation:
    return Operation("end", now, answer, called, returned)


def revoke(called: float, returned: float, answer: object) -> Operation:
    return Operation("revoke", None, answer, called, returned)


GOOD = {
    "one after the other": [refresh(0, 1, 1, 0, (2, 300)), refresh(2, 3, 2, 11, (3, 311))],
    "a retry within the leeway holds": [refresh(0, 1, 1, 0, (2, 300)), refresh(2, 3, 1, 10, (2, 310))],
    "a lost answer skips": [refresh(0, 1, 1, 0, (2, 300)), refresh(2, 3, 1, 11, (3, 311))],
    "two at once share one successor": [refresh(0, 9, 1, 0, (2, 300)), refresh(1, 8, 1, 0, (2, 300))],
    "a refresh during the end came first": [end(0, 9, 300), refresh(1, 8, 1, 0, (2, 300))],
    "a refresh during the end came second": [end(0, 9, 0), refresh(1, 8, 1, 0, REFUSED)],
    "called first, happened last": [refresh(0, 9, 2, 11, (3, 311)), refresh(1, 2, 1, 0, (2, 300))],
    "reuse, and all is over": [
        refresh(0, 1, 1, 0, (2, 300)),
        refresh(2, 3, 2, 20, (3, 320)),
        refresh(4, 5, 1, 20, REFUSED),
        introspect(6, 7, 3, 20, False),
        end(8, 9, None),
    ],
    "who got no answer may have succeeded": [refresh(0, 1, 1, 0, UNKNOWN), refresh(5, 6, 2, 11, (3, 311))],
    "or much later": [refresh(0, 1, 1, 12, UNKNOWN), refresh(5, 6, 1, 0, (2, 300)), refresh(7, 8, 1, 12, (3, 312))],
    "or not at all": [refresh(0, 1, 1, 0, UNKNOWN), refresh(5, 6, 1, 0, (2, 300))],
    "one of two ends ends": [end(0, 9, 0), end(1, 8, None)],
    "revoked once": [revoke(0, 9, True), revoke(1, 8, False), end(10, 11, None)],
    "nothing happened": [],
}

BAD = {
    "two chains": [refresh(0, 9, 1, 0, (2, 300)), refresh(1, 8, 1, 0, (3, 300))],
    "two rotations in one leeway": [refresh(0, 1, 1, 0, (2, 300)), refresh(2, 3, 2, 5, (3, 305))],
    "tokens after an acknowledged end": [end(0, 1, 0), refresh(2, 3, 1, 0, (2, 300))],
    "good after an acknowledged end": [end(0, 1, 0), introspect(2, 3, 1, 0, True)],
    "good, over, and good again": [introspect(0, 1, 1, 0, False), introspect(2, 3, 1, 0, True)],
    "the end forgot a token": [refresh(0, 1, 1, 0, (2, 300)), end(2, 3, 0)],
    "the end forgot one that it overlapped": [
        refresh(0, 9, 1, 0, (2, 300)),
        end(1, 8, 0),
        introspect(20, 21, 2, 0, True),
    ],
    "neither of two ends ended": [end(0, 9, None), end(1, 8, None)],
    "both of two ends ended": [end(0, 9, 0), end(1, 8, 0)],
    "a grandparent gets tokens": [
        refresh(0, 1, 1, 0, (2, 300)),
        refresh(2, 3, 2, 11, (3, 311)),
        refresh(4, 5, 1, 22, (4, 322)),
    ],
    "reuse ended nothing": [
        refresh(0, 1, 1, 0, (2, 300)),
        refresh(2, 3, 2, 11, (3, 311)),
        refresh(4, 5, 1, 22, REFUSED),
        refresh(6, 7, 3, 22, (4, 322)),
    ],
    "an honest retry is refused": [
        refresh(0, 1, 1, 0, (2, 300)),
        refresh(2, 3, 1, 5, REFUSED),
        introspect(4, 5, 2, 5, True),
    ],
    "a refusal without a cause": [refresh(0, 1, 1, 0, REFUSED), refresh(2, 3, 1, 0, (2, 300))],
    "a lost rotation": [refresh(0, 1, 1, 0, (2, 300)), refresh(2, 3, 1, 0, (2, 300)), introspect(4, 5, 2, 0, False)],
    "an expiry that nobody recorded": [refresh(0, 1, 1, 0, (2, 301))],
    "revoked, yet good": [revoke(0, 1, True), introspect(2, 3, 1, 0, True)],
    "unknown explains not everything": [refresh(0, 1, 1, 0, UNKNOWN), refresh(5, 6, 1, 0, (4, 300))],
    "unknown happens not before its call": [refresh(0, 1, 2, 11, (3, 311)), refresh(5, 6, 1, 0, UNKNOWN)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_some_order_explains_is_accepted(name: str) -> None:
    order = find_order(GOOD[name], FamilyState(), specification)

    assert order is not None
    state = FamilyState()
    for operation in order:  # the order is a witness: played one by one it gives exactly the recorded answers
        state, answer = specification(state, operation)
        assert operation.answer in (answer, UNKNOWN)
    assert {o for o in GOOD[name] if o.answer is not UNKNOWN} <= set(order)


@pytest.mark.parametrize("name", BAD)
def test_a_history_that_no_order_explains_is_rejected(name: str) -> None:
    assert find_order(BAD[name], FamilyState(), specification) is None


def test_in_a_browser_reuse_ends_the_part_and_the_sign_in_goes_on() -> None:
    reused = [refresh(0, 1, 1, 0, (2, 300)), refresh(2, 3, 2, 11, (3, 311)), refresh(4, 5, 1, 22, REFUSED)]

    assert find_order([*reused, end(6, 7, 311)], FamilyState(is_app=False), specification) is not None
    assert find_order([*reused, end(6, 7, None)], FamilyState(is_app=False), specification) is None


def test_fifty_at_once_are_judged_quickly_either_way() -> None:
    storm = [refresh(number / 100, 10, 1, 0, (2, 300)) for number in range(50)]
    storm += [refresh(number / 100, 10, 2, 11 + number % 3, (3, 311 + number % 3)) for number in range(50)]

    assert find_order(storm, FamilyState(), specification) is not None
    assert find_order([*storm, introspect(20, 21, 1, 12, True)], FamilyState(), specification) is None
