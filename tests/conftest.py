"""Fixtures for all tests. Each subject keeps its own in `tests/support/`; this file only lists them."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.support.chromium",
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
