"""Fixtures for all tests. Each subject keeps its own in `tests/support/`; this file only lists them."""

import os
import sys
from pathlib import Path

import pytest
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
    "tests.support.logs",
    "tests.support.pages",
    "tests.support.receivers",
    "tests.support.characters",  # after those that it imports
]

# No deadline: two cores and a database under load say nothing about a property. In CI the examples are always the same,
# so that a red run is about the change that it tests.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# What starts programs or a browser waits for them more than it computes: the other worker has the machine meanwhile.
_LONG = ("crash", "benchmarks", "docs/test_runbooks.py", "cli/test_processes.py", "operation", "browser", "web")
_HERE = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, in the order of `_LONG`, so that no worker is left alone with one at the end.

    All else stays in the random order of this run. Neighbours share one demo, one Chromium and one prepared folder.
    """
    rank = {_HERE / name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: min(rank.get(place, len(rank)) for place in (item.path, *item.path.parents)))
