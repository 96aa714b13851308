"""The fake provider and the demo application in front of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from examples.relying_party.app import create_app
from examples.relying_party.configuration import Configuration
from tests.examples.fake_provider import FakeProvider
from tests.examples.rp_browser import CLIENT_ID, Browser


class Clock:
    """The application's time: real, plus what the test lets pass."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Authlib's HTTP client obeys the environment's proxy, which can't know addresses of this machine."""
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def environment(provider: FakeProvider, tmp_path: Path) -> dict[str, str]:
    return {
        "OP_ISSUER": provider.issuer,
        "RP_CLIENT_ID": CLIENT_ID,
        "RP_CLIENT_SECRET": "secret",
        "RP_NAME": "Demo & Co",
        "RP_DATABASE": str(tmp_path / "var" / "rp.sqlite3"),
    }


@pytest.fixture
def app(environment: dict[str, str], clock: Clock) -> Flask:
    return create_app(Configuration.from_environment(environment), clock=clock)


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)
