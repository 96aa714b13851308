"""The page shell asks the database nothing of its own: its tests need just one."""

import pytest


@pytest.fixture(params=["sqlite"])
def database_backend(request: pytest.FixtureRequest) -> str:
    """The embedded database only; the desks' tests run on both."""
    return str(request.param)
