"""A stateful property test of the invariants (design §10): any order of what people, clients, thieves and time do.

`machine.py` plays each step through the public surface of two nodes on one database and in `model.py`, which was
written from the design and not from the code; after every step both must agree. `make stateful` is a long run.
"""

import os
import sys
import time

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Machine
from tests.stateful.surface import Installation

EXAMPLES = int(os.environ.get("IDP_TEST_STATEFUL_EXAMPLES", "4"))
STEPS = int(os.environ.get("IDP_TEST_STATEFUL_STEPS", "20"))
MINUTES = float(os.environ.get("IDP_TEST_STATEFUL_MINUTES", "0"))
IS_LONG = MINUTES > 0 or EXAMPLES > 10


@pytest.mark.timeout(0 if IS_LONG else 600)  # whoever asks for a long run waits for it
def test_the_invariants_hold_in_any_order_of_events(installation: Installation) -> None:
    Machine.installation = installation

    Machine.runs_played = Machine.looks_taken = 0
    began = time.monotonic()

    while True:
        run_state_machine_as_test(
            Machine, settings=hypothesis_settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
        )
        seconds = time.monotonic() - began
        if seconds >= 60 * MINUTES:
            break

    played = f"{Machine.runs_played} runs of up to {STEPS} steps, {Machine.looks_taken} looks, in {seconds:.0f} s"
    sys.stdout.write(played + "\n")
