"""Who may ask a database that lets everybody wait in vain: nobody for a moment, then one at a time till it answers."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from idp.db.silence import PAUSE_SECONDS, TRY_SECONDS, DatabaseBusy, Silence


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silence(clock: Clock) -> Silence:
    return Silence(clock)


@pytest.fixture
def tried(silence: Silence, clock: Clock) -> Silence:
    """This thread is the one that finds out."""
    silence.notice()
    clock.seconds += PAUSE_SECONDS
    assert may(silence)
    return silence


def may(silence: Silence) -> bool:
    try:
        silence.check()
    except DatabaseBusy:
        return False
    return True


def may_another(silence: Silence) -> bool:
    """A thread that has never asked."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(may, silence).result()


def test_while_the_database_answers_everybody_asks(silence: Silence) -> None:
    assert may(silence)
    assert may_another(silence)


def test_for_a_moment_after_a_silence_was_noticed_nobody_asks(silence: Silence, clock: Clock) -> None:
    silence.notice()
    assert not may(silence)

    clock.seconds += PAUSE_SECONDS - 0.001
    assert not may_another(silence)

    clock.seconds += 0.001
    assert may_another(silence)


def test_then_one_asks_as_often_as_it_needs_and_the_others_do_not(tried: Silence) -> None:
    assert not may_another(tried)
    assert may(tried)


def test_others_who_still_waited_in_vain_do_not_let_a_second_one_in(tried: Silence, clock: Clock) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(tried.notice).result()
    clock.seconds += PAUSE_SECONDS

    assert not may_another(tried)


def test_after_it_asked_in_vain_there_is_a_pause_and_the_next_one_asks(tried: Silence, clock: Clock) -> None:
    tried.notice()

    assert not may_another(tried)
    clock.seconds += PAUSE_SECONDS
    assert may_another(tried)


def test_one_that_is_not_heard_of_keeps_the_others_out_for_some_seconds_only(tried: Silence, clock: Clock) -> None:
    clock.seconds += TRY_SECONDS - 0.001
    assert not may_another(tried)

    clock.seconds += 0.001
    assert may_another(tried)


def test_any_answer_lets_everybody_in(tried: Silence) -> None:
    tried.end()

    assert may(tried)
    assert may_another(tried)
    tried.notice()
    assert not may(tried), "and a new silence begins anew"
