"""A real Chromium for browser tests: one that is installed on the machine, found by name or by `IDP_TEST_CHROMIUM`.

Playwright's own download is never used. Where no browser is found the tests fail and say what to do; they are not
skipped: who has none runs `make test-no-browser`.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REMEDY = (
    "No Chromium found for the browser tests. Install one (on Debian and Ubuntu, as root: apt-get install chromium), "
    "name one by IDP_TEST_CHROMIUM=/path/to/chromium, or run: make test-no-browser"
)


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome, or None. A wrong `IDP_TEST_CHROMIUM` counts as none."""
    named = os.environ.get("IDP_TEST_CHROMIUM")
    return next(filter(None, map(shutil.which, [named] if named else NAMES)), None)


def launch_arguments() -> list[str]:
    """What Chromium is started with, beside Playwright's own arguments, which keep it from talking to its maker."""
    # Chromium's own sandbox needs privileges that root in a container lacks; it only ever opens pages of ours.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return [*sandbox, "--disable-gpu", "--disable-quic"]


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """What starts browsers: one per worker, since a second in one process refuses to start."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(driver: Playwright) -> Iterator[Browser]:
    """The running browser, one per worker."""
    path = find_chromium()
    if path is None:
        pytest.fail(REMEDY, pytrace=False)
    browser = driver.chromium.launch(executable_path=path, args=launch_arguments())
    yield browser
    browser.close()


@pytest.fixture
def real_browser(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser of one person: cookies of its own, nothing remembered from another test."""
    context = chromium.new_context(locale="en-GB", timezone_id="Europe/Vienna")
    context.set_default_timeout(15_000)
    yield context
    context.close()
