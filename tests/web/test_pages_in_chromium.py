"""Every page in a real browser: readable by everybody (axe), nothing cut off at 375 px, nothing the policy forbids.

The application runs in this process on a free port; people and applications are made by rule calls.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Route, expect
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


def test_the_password_page_is_good_when_it_asks_and_when_it_refuses(page: Page, ada: User) -> None:
    sign_in(page)
    page.get_by_role("link", name="Password").click()
    expect(page.get_by_role("heading", name="Change password")).to_be_visible()
    assert_good(page)

    page.get_by_label("Current password").fill("not the password")
    page.get_by_label("New password", exact=True).fill("a river runs through it")
    page.get_by_label("New password again").fill("a river runs through it")
    page.locator("#change-password").click()

    expect(page.get_by_role("alert")).to_have_text("The current password is not right.")
    assert_good(page)


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
        ("/account/receipts", "No application had to be told"),
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


def test_choosing_what_ends_works_by_mouse_and_its_pages_are_good(page: Page, running: Running, ada: User) -> None:
    heart = running.provider.heart
    sign_in(page)
    parent = heart.sign_in(ada)
    heart.tokens_for(parent, heart.client(name="Harbour Wiki"))
    tool = heart.tokens_for(parent, heart.client(name="Drydock CLI"), "openid offline_access")
    page.goto("/account/sessions")
    page.get_by_role("checkbox", name="Choose Drydock CLI").check()
    page.get_by_role("button", name="Sign out the chosen ones").click()
    expect(page.get_by_role("heading", name="Sign out the chosen ones?")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Drydock CLI")).to_be_visible()
    assert_good(page)

    for path, text in (
        (f"/account/sessions/{parent.session_id}", "Harbour Wiki"),
        (f"/account/sessions/{tool.session_id}", "Your name for it"),
        (f"/account/sessions/end-selected?session={parent.session_id}&with_tools=yes", "approved there"),
        ("/account/sessions/end-unused?days=30", "used within that time"),
        ("/account/sessions/end-others?keep_apps=yes", "Your apps and command-line tools stay signed in."),
    ):
        page.goto(path)
        expect(page.get_by_text(text).first).to_be_visible()
        assert_good(page)


def test_a_tool_is_renamed_where_it_is_shown(page: Page, running: Running, ada: User) -> None:
    heart = running.provider.heart
    sign_in(page)
    tool = heart.tokens_for(heart.sign_in(ada), heart.client(name="Drydock CLI"), "openid offline_access")
    page.goto(f"/account/sessions/{tool.session_id}")

    page.get_by_label("Your name for it").fill("Build server")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Build server")
    page.goto("/account/sessions")
    expect(page.get_by_role("heading", name="Build server")).to_be_visible()
    assert_good(page)


def test_the_last_access_is_counted_down_to_its_end(page: Page, running: Running, ada: User) -> None:
    heart = running.provider.heart
    page.clock.install(time=heart.now)
    sign_in(page)
    heart.tokens_for(heart.sign_in(ada), heart.client(name="Drydock CLI"), "openid offline_access")
    page.goto("/account/sessions/end-everywhere")
    page.locator("#confirm-end").click()
    left = page.locator("#access-left")
    expect(left).to_contain_text(re.compile(r"stops at the latest at .*, in (5 min 0|4 min \d+) s\."))
    assert_good(page)

    page.clock.fast_forward("05:01")

    expect(left).to_be_hidden()
    expect(page.get_by_text("Nothing of it works any more.")).to_be_visible()
    assert_good(page)


@pytest.mark.spec("Front-Channel Logout", "3")
def test_the_browser_really_asks_the_application_through_a_frame_and_goes_on(
    page: Page, running: Running, ada: User
) -> None:
    rp = running.provider.relying_party(
        name="Harbour Wiki",
        is_first_party=True,
        frontchannel_logout_uri="https://rp.example/front-channel",
        post_logout_redirect_uris=("https://rp.example/bye",),
    )
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=200, content_type="text/html", body="<!doctype html><title>Wiki</title><h1>Wiki</h1>")

    page.route("https://rp.example/**", answer)
    sign_in(page)
    back = page.request.get(rp.address(scope="openid"), max_redirects=0).headers["location"]
    id_token = rp.redeem(dict(parse_qsl(urlsplit(back).query))["code"]).id_token

    page.goto(
        "/oauth2/logout?"
        + urlencode({"id_token_hint": id_token, "post_logout_redirect_uri": "https://rp.example/bye", "state": "s1"})
    )

    page.wait_for_url("https://rp.example/bye?state=s1")
    assert [urlsplit(address).path for address in asked] == ["/front-channel", "/bye"]
    assert dict(parse_qsl(urlsplit(asked[0]).query))["iss"] == running.address
