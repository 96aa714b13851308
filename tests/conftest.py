"""Fixtures for all tests. Each subject keeps its own in `tests/support/`; this file only lists them."""

pytest_plugins = ["tests.support.databases"]
