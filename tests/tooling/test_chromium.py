"""Browser tests run in a browser, or fail with a sentence to act on."""

import pytest
from playwright.sync_api import BrowserContext

from tests.support.chromium import find_chromium


@pytest.mark.browser
def test_each_browser_of_a_test_starts_with_nothing_remembered(real_browser: BrowserContext) -> None:
    page = real_browser.new_page()
    page.set_content("<title>ours</title>")

    assert page.title() == "ours"
    assert real_browser.cookies() == []


def test_a_wrongly_named_browser_is_not_silently_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_TEST_CHROMIUM", "/nowhere/chromium")

    assert find_chromium() is None
