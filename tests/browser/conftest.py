"""Fixtures of the browser tests: `demo` (one per worker), `ada` (a new person), `new_browser`, `tool`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, expect

from tests.browser.demo import Demo, Person, Tool

LONGEST_WAIT = 20_000  # milliseconds; on a busy machine a page can take its time
NewBrowser = Callable[..., BrowserContext]


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    expect.set_options(timeout=LONGEST_WAIT)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `idp demo` starts, once: every test has people and browsers of its own."""
    running = Demo(tmp_path_factory.mktemp("demo"))
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def ada(demo: Demo) -> Person:
    """A person who has never signed in before."""
    return demo.new_person()


@pytest.fixture
def tool(demo: Demo, tmp_path: Path) -> Tool:
    """The command-line tool on a machine where nobody has signed in with it."""
    return Tool(demo, tmp_path)


@pytest.fixture
def new_browser(chromium: Browser) -> Iterator[NewBrowser]:
    """Makes browsers of one person each. What a page's own policy forbids, or a script's error, fails the test."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            complaints.append(message.text)

    def make(*, address: str = "", **options: Any) -> BrowserContext:
        if address:
            options["extra_http_headers"] = {"X-Forwarded-For": address}
        context = chromium.new_context(locale="en-GB", timezone_id="Europe/Vienna", **options)
        context.set_default_timeout(LONGEST_WAIT)
        context.on("console", listen)
        context.on("weberror", lambda problem: complaints.append(str(problem.error)))
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()
    assert complaints == []


@pytest.fixture
def browser(new_browser: NewBrowser) -> BrowserContext:
    """A person's browser."""
    return new_browser()
