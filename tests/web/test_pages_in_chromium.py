"""Every page in a real browser: readable by everybody (axe), nothing cut off at 375 px, nothing the policy forbids.

The application runs in this process on a free port; people and applications are made by rule calls.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect
from sqlalchemy import update
from werkzeug.serving import BaseWSGIServer, make_server

from idp.clients import grant_consent
from idp.db.models import DeliveryState, LogoutDelivery, User
from tests.support.characters import CLI_REDIRECT, Provider
from tests.support.pages import PASSWORD

pytestmark = pytest.mark.browser

# Each width and each colour scheme once: the one does not change what the other shows.
SCREENS = [(1280, "light"), (375, "dark")]


@dataclass
class Running:
    """The application at an address."""

    provider: Provider
    address: str
    server: BaseWSGIServer


@pytest.fixture
def running(open_provider: Callable[..., Provider]) -> Iterator[Running]:
    """The application, answering on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://localhost:{port}"
    provider = open_provider(issuer=address)
    server = make_server("localhost", port, provider.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Running(provider, address, server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ada(running: Running) -> User:
    """A person with an account."""
    return running.provider.person("ada", claims={"name": "Ada Lovelace"})


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen[0]}-{screen[1]}")
def page(running: Running, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab at this width and in this colour scheme. What the policy forbids, or a script's error, fails the test."""
    width, scheme = request.param
    context = chromium.new_context(
        base_url=running.address, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=False
    )
    context.set_default_timeout(15_000)
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and "the server responded with a status of" not in message.text:
            complaints.append(message.text)

    def note(error: Error) -> None:
        complaints.append(str(error))

    context.on("console", listen)
    context.on("weberror", lambda error: note(error.error))
    yield context.new_page()
    context.close()
    assert complaints == []


def sign_in(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("E-mail or username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.get_by_role("heading", name="Signed-in devices")).to_be_visible()


def assert_good(page: Page) -> None:
    """No rule of axe is broken, and nothing has to be scrolled to the side."""
    # axe is put in by the debugger and not by the page: our policy allows no such script.
    results = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")


def test_the_sign_in_page_is_good_when_it_asks_and_when_it_refuses(page: Page, ada: User) -> None:
    page.goto("/login")
    assert_good(page)
    expect(page.get_by_label("E-mail or username")).to_be_focused()

    page.get_by_label("E-mail or username").fill("ada")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.locator("#login-submit").click()

    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    assert_good(page)


def test_a_password_can_be_looked_at(page: Page, ada: User) -> None:
    page.goto("/login")
    password = page.get_by_label("Password", exact=True)
    password.fill("visible")

    page.get_by_role("button", name="Show password").click()
    assert password.get_attribute("type") == "text"
    page.get_by_role("button", name="Hide password").click()

    assert password.get_attribute("type") == "password"


def test_signing_in_for_an_application_and_its_consent_page_are_good(page: Page, running: Running, ada: User) -> None:
    rp = running.provider.relying_party(
        name="Harbour Wiki",
        client_uri="https://rp.example",
        policy_uri="https://rp.example/policy",
        tos_uri="https://rp.example/terms",
        scopes=("openid", "profile", "email", "address", "phone", "offline_access"),
    )
    page.goto(rp.address(scope="openid profile email address phone offline_access", prompt="consent"))
    expect(page.get_by_text("to continue to Harbour Wiki")).to_be_visible()
    assert_good(page)

    page.get_by_label("E-mail or username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.locator("#login-submit").click()

    expect(page.locator("#consent-allow")).to_be_visible()
    expect(page.get_by_text("See your e-mail address")).to_be_visible()
    assert_good(page)


def test_the_page_before_an_app_on_this_computer_is_good(page: Page, running: Running, ada: User) -> None:
    cli = running.provider.relying_party(name="Drydock CLI", redirect_uris=(CLI_REDIRECT,), public=True)
    sign_in(page)

    page.goto(cli.address(scope="openid offline_access"))

    expect(page.get_by_role("heading", level=1)).to_have_text("You are signing in the app Drydock CLI on this computer")
    assert_good(page)


def test_the_account_pages_are_good_empty_and_full(page: Page, running: Running, ada: User) -> None:
    heart = running.provider.heart
    sign_in(page)
    assert_good(page)
    page.goto("/account/applications")
    expect(page.get_by_text("No application has access")).to_be_visible()
    assert_good(page)

    wiki = heart.client(name="Harbour Wiki", backchannel_logout_uri="https://app.example/logout")
    tool = heart.client(name="Drydock CLI")
    other, third = heart.sign_in(ada), heart.sign_in(ada)
    heart.tokens_for(other, wiki)
    heart.tokens_for(other, tool, "openid offline_access")
    heart.end(ada, third.session_id)
    with heart.database.transaction() as tx:
        grant_consent(
            tx, user_id=ada.id, client_id=wiki.id, scopes=("openid", "profile", "custom:thing"), now=heart.now
        )

    for path, text in (
        ("/account/sessions", "Approved in Firefox 145 on Linux"),
        ("/account/applications", "Harbour Wiki"),
        ("/account/sessions/end-everywhere", "Cannot be told:"),
        ("/account/sessions/end-others", "Sign out everywhere else?"),
        (f"/account/sessions/{third.session_id}", "No application had to be told."),
    ):
        page.goto(path)
        expect(page.get_by_text(text).first).to_be_visible()
        assert_good(page)


def test_ending_a_browser_shows_the_tools_that_it_approved(page: Page, running: Running, ada: User) -> None:
    heart = running.provider.heart
    sign_in(page)
    other = heart.sign_in(ada)
    heart.tokens_for(other, heart.client(name="Drydock CLI"), "openid offline_access")
    page.goto("/account/sessions")

    page.get_by_role("button", name="Sign out Firefox 145 on Linux").click()
    page.get_by_role("link", name="This wasn’t me").click()

    expect(page.get_by_role("checkbox")).to_be_checked()
    assert_good(page)


def test_the_question_the_receipt_and_the_plain_page_are_good(page: Page, running: Running, ada: User) -> None:
    heart = running.provider.heart
    sign_in(page)
    heart.tokens_for(heart.sign_in(ada), heart.client(name="Wiki", backchannel_logout_uri="https://app.example/logout"))
    heart.tokens_for(heart.sign_in(ada), heart.client(name="Drydock CLI"), "openid offline_access")
    page.goto("/logout")
    expect(page.get_by_role("heading", name="Sign out of this browser?")).to_be_visible()
    assert_good(page)

    page.goto("/account/sessions/end-everywhere")
    page.locator("#confirm-end").click()
    expect(page.get_by_role("heading", name="You are signed out everywhere")).to_be_visible()
    expect(page.get_by_text("Being told")).to_be_visible()
    assert_good(page)
    with heart.database.transaction() as tx:
        tx.execute(
            update(LogoutDelivery)
            .where(LogoutDelivery.state == DeliveryState.PENDING)
            .values(state=DeliveryState.TOLD, settled_at=heart.now)
        )

    expect(page.get_by_text("Told at")).to_be_visible()  # the page has asked again by itself
    expect(page.get_by_text("Being told")).to_have_count(0)
    assert_good(page)
    page.goto("/signed-out")
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert_good(page)


def test_error_pages_are_good(page: Page, running: Running) -> None:
    for path in ("/nowhere", "/login?request=x", "/signed-out/x", "/oauth2/authorize?client_id=nobody"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert_good(page)


def test_times_are_shown_in_the_readers_own_zone(running: Running, chromium: Browser, ada: User) -> None:
    heart = running.provider.heart
    third = heart.sign_in(ada)
    heart.end(ada, third.session_id)
    context = chromium.new_context(base_url=running.address, timezone_id="Europe/Vienna")
    tab = context.new_page()
    sign_in(tab)

    tab.goto(f"/account/sessions/{third.session_id}")

    expect(tab.get_by_text("21 Nov 2026, 10:30:00").first).to_be_visible()  # 09:30 UTC
    context.close()
