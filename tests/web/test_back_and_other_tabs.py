"""Back, other tabs, other windows: after an end, no account page comes back from any cache (lesson 10).

Over https in a real Chromium whose back/forward cache is on, which a control page proves first. Our pages are no-store,
and signing out clears the cache; so that each layer is seen to hold alone, the worst case is played too: a proxy that
drops those headers. What a database does makes no difference here, so one is enough.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect
from werkzeug.serving import make_server

from idp.db.models import EndReason, User
from idp.sessions import Actor, end_everything
from tests.kit.outbound_servers import PrivateAuthority
from tests.support.characters import Provider
from tests.support.chromium import REMEDY, find_chromium, launch_arguments
from tests.support.pages import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)]

WHY_NOT = "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons)"
# A page that was loaded anew by the back button says so of itself; one out of the cache still says "navigate".
CAME_BACK_OR_LOADED = (
    "window.cameBack || performance.getEntriesByType('navigation')[0].type === 'back_forward'"
    " && document.readyState === 'complete'"
)
CONTROL = b"""<!doctype html><title>loaded</title><h1>Control</h1>
<script>addEventListener("pageshow", (e) => { document.title = e.persisted ? "persisted" : "loaded"; });</script>"""


@dataclass
class Running:
    """The application at an https address.

    `drops_headers` plays a proxy that takes Cache-Control and Clear-Site-Data away, `is_out` an outage of the check.
    """

    provider: Provider
    address: str
    drops_headers: bool = False
    is_out: bool = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/control":
            start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
            return [CONTROL]
        if self.is_out and environ["PATH_INFO"] == "/account/session-check":
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"away"]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if self.drops_headers:
                headers = [pair for pair in headers if pair[0] not in {"Cache-Control", "Clear-Site-Data"}]
            return start_response(status, headers, *rest)

        answer: Iterable[bytes] = self.provider.app(environ, start)
        return answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """TLS for `localhost`."""
    return PrivateAuthority(tmp_path_factory.mktemp("authority")).server_context("localhost")


@pytest.fixture
def running(open_provider: Callable[..., Provider], authority: ssl.SSLContext) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"https://localhost:{port}"
    running = Running(open_provider(issuer=address), address)
    server = make_server("localhost", port, running, threaded=True, ssl_context=authority)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield running
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ada(running: Running) -> User:
    return running.provider.person("ada")


@pytest.fixture(scope="module")
def caching_chromium(driver: Playwright) -> Iterator[Browser]:
    """Chromium with the back/forward cache on, as people have it; Playwright switches it off."""
    path = find_chromium()
    if path is None:
        pytest.fail(REMEDY, pytrace=False)
    browser = driver.chromium.launch(
        executable_path=path,
        args=[*launch_arguments(), "--ignore-certificate-errors", "--enable-features=BackForwardCache"],
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield browser
    browser.close()


@pytest.fixture
def context(caching_chromium: Browser, running: Running) -> Iterator[BrowserContext]:
    context = caching_chromium.new_context(base_url=running.address, ignore_https_errors=True)
    context.set_default_timeout(30_000)
    yield context
    context.close()


def sign_in(page: Page) -> None:
    page.goto("/account/activity")
    if "/login" in page.url:
        page.get_by_label("E-mail or username").fill("ada")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.locator("#login-submit").click()
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()


def back(page: Page) -> None:
    left = page.url
    # Not `go_back`, which waits for a load that never comes when the page returns from the cache.
    page.evaluate("setTimeout(() => history.back(), 0)")
    page.wait_for_url(lambda url: url != left, wait_until="commit")


def return_from_cache(page: Page, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Open the account, go elsewhere, let something happen, and come back by the back button, out of the cache.

    Chromium caches nothing that it can't freeze within seconds; on a busy machine that takes another try.
    """
    for _ in range(5):
        sign_in(page)
        page.evaluate("addEventListener('pageshow', (event) => { window.cameBack = event.persisted; })")
        page.goto("/control")
        meanwhile()
        back(page)
        page.wait_for_function(CAME_BACK_OR_LOADED)
        if page.evaluate("window.cameBack === true"):
            return
    pytest.fail("Chromium cached no page: " + str(page.evaluate(WHY_NOT)))


def end_elsewhere(running: Running, ada: User) -> None:
    heart = running.provider.heart
    with heart.database.transaction() as tx:
        end_everything(
            tx,
            user_id=ada.id,
            except_session_id=None,
            reason=EndReason.ENDED_BY_ADMINISTRATOR,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )


def assert_nothing_of_ada(page: Page) -> None:
    expect(page.get_by_text("ada@example.com")).to_have_count(0)
    expect(page.get_by_text("You signed in", exact=True)).to_have_count(0)


def test_the_back_forward_cache_works_here_at_all(context: BrowserContext) -> None:
    page = context.new_page()
    for _ in range(5):
        page.goto("/control")
        page.goto("/control?second")
        back(page)
        page.wait_for_function("document.title !== ''")
        if page.title() == "persisted":
            return
    pytest.fail("Chromium cached no page: " + str(page.evaluate(WHY_NOT)))


@pytest.mark.parametrize("drops_headers", [False, True])
def test_after_signing_out_the_back_button_shows_no_account_page(
    context: BrowserContext, running: Running, ada: User, drops_headers: bool
) -> None:
    running.drops_headers = drops_headers
    page = context.new_page()
    sign_in(page)
    page.locator("#sign-out").click()
    page.wait_for_url("**/signed-out/**")

    back(page)

    refused = page.locator("h1", has_text="Sign in").or_(page.locator("h1", has_text="You are signed out"))
    expect(refused).to_be_visible()
    assert_nothing_of_ada(page)


def test_a_page_that_comes_back_from_the_cache_after_an_end_elsewhere_says_so_and_why(
    context: BrowserContext, running: Running, ada: User
) -> None:
    running.drops_headers = True
    page = context.new_page()

    return_from_cache(page, lambda: end_elsewhere(running, ada))

    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    expect(page.get_by_text("because an administrator ended your session")).to_be_visible()
    assert_nothing_of_ada(page)
    expect(page).to_have_title("You are signed out")


def test_a_page_that_comes_back_while_the_session_lives_is_shown_again(
    context: BrowserContext, running: Running, ada: User
) -> None:
    running.drops_headers = True
    page = context.new_page()

    return_from_cache(page)

    expect(page.get_by_role("heading", name="Activity")).to_be_visible()


def test_a_page_that_comes_back_stays_hidden_when_nobody_can_say_whether_it_may_be_seen(
    context: BrowserContext, running: Running, ada: User
) -> None:
    running.drops_headers = True
    page = context.new_page()
    running.is_out = True

    return_from_cache(page)

    expect(page.get_by_role("heading", name="This page is hidden")).to_be_visible()
    assert_nothing_of_ada(page)


def test_other_tabs_say_that_one_is_signed_out_and_lead_back_after_signing_in(
    context: BrowserContext, running: Running, ada: User
) -> None:
    one, other = context.new_page(), context.new_page()
    sign_in(one)
    other.goto("/account/sessions")

    one.locator("#sign-out").click()

    expect(other.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert_nothing_of_ada(other)
    other.get_by_role("link", name="Sign in").click()
    other.get_by_label("E-mail or username").fill("ada")
    other.get_by_label("Password", exact=True).fill(PASSWORD)
    other.locator("#login-submit").click()
    expect(other.get_by_role("heading", name="Signed-in devices")).to_be_visible()


def test_an_open_tab_notices_an_end_elsewhere_by_itself_and_outlives_an_outage(
    context: BrowserContext, running: Running, ada: User
) -> None:
    page = context.new_page()
    page.clock.install()
    sign_in(page)
    running.is_out = True
    page.clock.run_for(61_000)
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()
    running.is_out = False
    end_elsewhere(running, ada)

    page.clock.run_for(61_000)

    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert_nothing_of_ada(page)
