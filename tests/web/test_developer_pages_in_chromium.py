"""The pages for developers of applications, in a real browser: good for everybody, at each step of a test."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from idp.clients.self_test import make_self_test_link
from idp.web.services import Services
from idp.worker import run_self_tests
from tests.support.receivers import Receivers
from tests.web.test_pages_in_chromium import Running, assert_good, page, running

pytestmark = pytest.mark.browser
__all__ = ["page", "running"]  # fixtures


def test_a_test_is_good_from_the_link_to_the_verdict_and_the_page_asks_again_by_itself(
    page: Page, running: Running, receivers: Receivers, open_services: Callable[..., Services]
) -> None:
    heart = running.provider.heart
    receiver = receivers(200, 200, 400, 403, 500, 400)
    client = heart.client(name="Harbour Wiki", backchannel_logout_uri=receiver.uri)
    with heart.database.transaction() as tx:
        handle, _ = make_self_test_link(tx, client_id=client.id, actor="operator", now=heart.now)
    page.goto(f"/developers/self-test/{handle.reveal()}")
    assert_good(page)
    page.locator("#open-self-test").click()
    expect(page.get_by_role("heading", name="Logout self-test of Harbour Wiki")).to_be_visible()
    assert_good(page)

    page.locator("#send-test").click()
    expect(page.get_by_text("Being sent.")).to_be_visible()
    assert_good(page)
    run_self_tests(open_services(allow=[receiver]))

    expect(page.get_by_text("also one that it has to refuse")).to_be_visible()
    assert_good(page)


def test_the_inspector_is_good_when_it_asks_and_when_it_has_found_something(page: Page, running: Running) -> None:
    page.goto("/developers/logout-token")
    assert_good(page)

    page.get_by_label("Logout token").fill("a.b.c")
    page.locator("#inspect-token").click()

    expect(page.get_by_role("status")).to_contain_text("1 rule is broken.")
    assert_good(page)
