"""Histories of fifty threads on two nodes: whatever happens at once, some order of single steps explains every answer.

The answers contain the generation of each successor and the expiry of each access token, and what an end recorded as
the last of those: a second chain, a token after an end, or one that outlives the recorded moment has no order (I1, I2,
I3, I5, I6, I7).
"""

import itertools
import os

import pytest

from tests.linearizability.checker import UNKNOWN, find_order
from tests.linearizability.family import specification
from tests.linearizability.recorder import Recorder
from tests.support.heart import Heart

THREADS = 50
ROUNDS = int(os.environ.get("IDP_TEST_LINEARIZABILITY_ROUNDS", "1"))

SCENARIOS = {
    "clients only": (),
    "ended by the person": ("end",),
    "ended twice, everywhere": ("end everything", "end"),
    "revoked and ended": ("revoke", "end"),
    "a thief": ("refresh stolen", "refresh stolen", "end"),
}


@pytest.mark.timeout(120 + 60 * ROUNDS)
@pytest.mark.parametrize("scope", ["openid offline_access", "openid"], ids=["app", "browser"])
def test_some_order_of_single_steps_explains_every_answer(heart: Heart, scope: str) -> None:
    nodes = [heart.open_database(), heart.open_database()]
    lived_until_it_was_ended = 0
    for number, (name, ends) in itertools.product(range(ROUNDS), SCENARIOS.items()):
        for clocks_jump in (False, True):
            person, client = heart.person(), heart.client(backchannel_logout_uri="https://app.example/out")
            first = heart.tokens_for(heart.sign_in(person), client, scope)
            recorder = Recorder(heart, nodes, person, client, first, clocks_jump)

            recorder.run(threads=THREADS, each=2, seed=number, ends=ends)

            history = recorder.history
            assert len(history) == THREADS * 2
            assert sum(operation.answer is UNKNOWN for operation in history) < THREADS
            order = find_order(history, recorder.start, specification)
            assert order is not None, (name, number, sorted(history, key=lambda operation: operation.called))
            lived_until_it_was_ended += any(isinstance(one.answer, int) for one in history if one.name == "end")
    assert lived_until_it_was_ended > 0, "every family was over before anybody ended it: the test says little"
