"""The table of design §5: its rows one by one, and an exhaustive small model of what it promises.

The model plays every schedule of a few presentations, with answers that may be lost and a thief who may hold a copy,
over a coarse clock whose steps straddle the leeway and the lost-answer window.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from idp.tokens.turns import Generations, Turn, advance, decide

T0 = datetime(2026, 11, 21, tzinfo=UTC)
LEEWAY = timedelta(seconds=10)
WINDOW = timedelta(hours=24)


def turn(state: Generations, presented: int, after: timedelta, *, rotates: bool = True) -> Turn:
    return decide(state, presented, now=T0 + after, leeway=LEEWAY, lost_answer=WINDOW, rotates=rotates)


FRESH = Generations(live=1, parent=None, rotated_at=None)
ROTATED = Generations(live=5, parent=4, rotated_at=T0)


@pytest.mark.parametrize(
    ("state", "presented", "after", "expected"),
    [
        (FRESH, 1, timedelta(0), Turn.ROTATE),
        (FRESH, 2, timedelta(0), Turn.AHEAD),
        (ROTATED, 5, timedelta(seconds=10), Turn.HOLD),
        (ROTATED, 5, timedelta(seconds=10, microseconds=1), Turn.ROTATE),
        (ROTATED, 4, timedelta(0), Turn.HOLD),
        (ROTATED, 4, timedelta(seconds=10), Turn.HOLD),
        (ROTATED, 4, timedelta(seconds=10, microseconds=1), Turn.SKIP),
        (ROTATED, 4, timedelta(hours=24), Turn.SKIP),
        (ROTATED, 4, timedelta(hours=24, microseconds=1), Turn.REUSE),
        (ROTATED, 3, timedelta(0), Turn.REUSE),
        (ROTATED, 3, timedelta(days=3), Turn.REUSE),
        (ROTATED, 6, timedelta(0), Turn.AHEAD),
        # A clock that stepped back an hour: an honest retry holds, and nothing negative makes a grandparent young.
        (ROTATED, 5, timedelta(hours=-1), Turn.HOLD),
        (ROTATED, 4, timedelta(hours=-1), Turn.HOLD),
        (ROTATED, 3, timedelta(hours=-1), Turn.REUSE),
    ],
)
@pytest.mark.spec("RFC 9700", "4.14.2")
def test_each_row_of_the_table(state: Generations, presented: int, after: timedelta, expected: Turn) -> None:
    assert turn(state, presented, after) is expected


def test_a_client_whose_tokens_do_not_rotate_holds_for_ever_and_still_gives_away_older_ones() -> None:
    assert turn(FRESH, 1, timedelta(days=300), rotates=False) is Turn.HOLD
    assert turn(Generations(5, 4, T0), 3, timedelta(0), rotates=False) is Turn.REUSE


# ── The model ─────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = (timedelta(seconds=1), timedelta(seconds=11), timedelta(hours=25))


@dataclass(frozen=True)
class World:
    """One family, an honest client that keeps one token, and perhaps a thief that keeps another."""

    state: Generations
    now: datetime
    honest: int
    thief: int | None
    revoked: bool = False
    turns: tuple[Turn, ...] = ()


def present(world: World, generation: int) -> tuple[World, int | None]:
    """The world after somebody presents a token, and the token they would be answered with."""
    if world.revoked:
        return world, None
    what = decide(world.state, generation, now=world.now, leeway=LEEWAY, lost_answer=WINDOW)
    world = replace(world, turns=(*world.turns, what))
    if what in {Turn.REUSE, Turn.AHEAD}:
        return replace(world, revoked=True), None
    state = advance(world.state, what, now=world.now)
    assert state.parent is None or state.parent < state.live
    return replace(world, state=state), state.live


def schedules(actions: tuple[str, ...], length: int) -> Iterable[tuple[tuple[str, timedelta], ...]]:
    return itertools.product(itertools.product(actions, STEPS[:2]), repeat=length)


def test_an_honest_client_is_never_signed_out_by_lost_answers_or_parallel_retries() -> None:
    """I7: whatever answers get lost, a client that retries with what it has within the window always gets on."""
    for schedule in schedules(("answered", "lost"), 7):
        world = World(FRESH, T0, honest=1, thief=None)
        for action, step in schedule:
            world = replace(world, now=world.now + step)
            world, answer = present(world, world.honest)
            assert answer is not None, schedule
            if action == "answered":
                world = replace(world, honest=answer)


def test_at_most_one_rotation_happens_per_leeway_however_often_the_token_is_presented() -> None:
    for schedule in schedules(("live", "parent"), 6):
        world = World(Generations(2, 1, T0), T0, honest=2, thief=None)
        changed_at = T0
        for action, step in schedule:
            world = replace(world, now=world.now + step)
            presented = world.state.live if action == "live" else (world.state.parent or world.state.live)
            before = world.state.live
            world, _ = present(world, presented)
            if world.state.live != before:
                assert world.state.live == before + 1
                assert world.now - changed_at > LEEWAY or before == 2
                changed_at = world.now


def test_a_thief_who_presents_more_than_a_leeway_apart_is_noticed_at_the_latest_at_the_third_turn() -> None:
    """I6: once both hold a token of one family, three presentations in turn end it; a lost answer adds one."""
    gap = timedelta(seconds=11)
    for stolen_parent, honest_first, lost in itertools.product((False, True), (False, True), (False, True)):
        world = World(Generations(2, 1, T0), T0 + gap, honest=2, thief=1 if stolen_parent else 2)
        turns = 0
        while not world.revoked:
            turns += 1
            assert turns <= (4 if lost else 3), (stolen_parent, honest_first, lost)
            honest_moves = (turns % 2 == 1) == honest_first
            world, answer = present(world, world.honest if honest_moves else (world.thief or 0))
            if answer is not None and not (lost and turns == 1):
                world = replace(world, honest=answer) if honest_moves else replace(world, thief=answer)
            world = replace(world, now=world.now + gap)
        assert world.turns[-1] is Turn.REUSE


def test_nothing_older_than_the_parent_is_ever_honoured() -> None:
    for schedule in itertools.product(STEPS, repeat=5):
        world = World(FRESH, T0, honest=1, thief=None)
        dead: set[int] = set()
        for step in schedule:
            world = replace(world, now=world.now + step)
            before = world.state
            world, answer = present(world, world.honest)
            assert answer is not None
            world = replace(world, honest=answer)
            dead |= {old for old in range(1, before.live) if old not in {world.state.parent, world.state.live}}
            for old in dead:
                assert decide(world.state, old, now=world.now, leeway=LEEWAY, lost_answer=WINDOW) is Turn.REUSE
