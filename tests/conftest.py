"""Fixtures for all tests. Each subject keeps its own in `tests/support/`; this file only lists them."""

import os
import sys

from hypothesis import HealthCheck, settings

# Some hundred processes of ours start in a run. Where compiled modules are not to be kept, as many machines for tests
# are set up, each compiles all of them anew: more than half of its start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = [
    "tests.support.chromium",
    "tests.support.economy",  # before those that import it
    "tests.support.databases",
    "tests.support.heart",
    "tests.support.pages",
    "tests.support.receivers",
    "tests.support.characters",  # after those that it imports
]

# No deadline: two cores and a database under load say nothing about a property. In CI the examples are always the same,
# so that a red run is about the change that it tests.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
