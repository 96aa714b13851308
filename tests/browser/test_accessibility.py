"""Every page, in each of its states, is usable by everybody: WCAG 2.2 AA, light and dark, wide, narrow, by keyboard."""

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import NewBrowser
from tests.browser.demo import NOT_YET_TOLD, STEP_SECONDS, Demo, Person, Tool
from tests.browser.inspection import inspect, walk_by_keyboard
from tests.browser.steps import fill_in_sign_in, open_account, row, sign_in_at_application

pytestmark = [pytest.mark.browser, pytest.mark.spec("WCAG", "2.2 AA")]

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.0 Mobile/15E148 Safari/604.1"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
LONG_NAME = "Kontinentalversicherungsgesellschafts-Dokumentenverwaltung für Außendienstmitarbeiter"


@pytest.fixture
def browser(new_browser: NewBrowser) -> BrowserContext:
    return new_browser(user_agent=FIREFOX, address="192.0.2.17")


def at(page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)


# ── Signing in ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_signing_in(demo: Demo, browser: BrowserContext, ada: Person) -> None:
    page = browser.new_page()
    page.goto(f"{demo.issuer}/login")
    inspect(page, "login")

    page.goto(demo.application)
    inspect(page, "application")
    page.locator("#sign-in").click()
    inspect(page, "login-for-application")
    fill_in_sign_in(page, ada, password="not this one")
    expect(page.get_by_role("alert")).to_be_visible()
    inspect(page, "login-error")
    fill_in_sign_in(page, ada)
    at(page, "Demo wiki asks for access to your account")
    inspect(page, "consent")
    page.locator("#consent-allow").click()
    at(page, "Hello, Ada Lovelace")
    inspect(page, "application-signed-in")


def test_signing_in_an_app(demo: Demo, browser: BrowserContext, ada: Person, tool: Tool) -> None:
    page = browser.new_page()
    open_account(page, demo, ada)
    with tool.signing_in() as waiting:
        page.goto(waiting.address)
        at(page, "You are signing in the app Demo command-line tool on this computer")
        inspect(page, "consent-app")
        page.locator("#consent-allow").click()
        at(page, "Back to the terminal")
        inspect(page, "tool-signed-in")
        assert waiting.finish().status == 0


def test_an_application_with_an_impossible_name(demo: Demo, browser: BrowserContext, tmp_path: Path) -> None:
    ada = demo.new_person("Adelheid-Kunigunde-Wilhelmine-Friederike Freifrau von Hohenlohe-Schillingsfürst")
    made = demo.idp("clients", "create", "--name", LONG_NAME, "--public", "--redirect-uri", "http://127.0.0.1/callback")
    tool = Tool(demo, tmp_path, client_id=made["client_id"])
    page = browser.new_page()
    open_account(page, demo, ada)
    with tool.signing_in() as waiting:
        page.goto(waiting.address)
        inspect(page, "long-consent")
        page.locator("#consent-allow").click()
        assert waiting.finish().status == 0
    page.goto(f"{demo.issuer}/account/sessions")
    inspect(page, "long-sessions")
    page.goto(f"{demo.issuer}/account/applications")
    inspect(page, "long-applications")
    page.goto(f"{demo.issuer}/account/sessions/end-everywhere")
    inspect(page, "long-everywhere")
    page.locator("#confirm-end").click()
    at(page, "You are signed out everywhere")
    inspect(page, "long-receipt")


def test_going_back_to_an_application_by_a_form(demo: Demo, browser: BrowserContext, ada: Person) -> None:
    page = browser.new_page()
    sign_in_at_application(page, demo, ada)
    # The page sends its form by itself; an answer without content leaves the browser where it is.
    page.route(f"{demo.application}/callback", lambda route: route.fulfill(status=204))
    with page.expect_response(f"{demo.application}/callback"):
        page.goto(demo.silent_sign_in_address() + "&response_mode=form_post", wait_until="commit")
    at(page, "Back to the application")
    inspect(page, "form-post")


# ── The account ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_that_was_just_made(demo: Demo, browser: BrowserContext, ada: Person) -> None:
    page = browser.new_page()
    open_account(page, demo, ada)
    inspect(page, "sessions-first")
    page.goto(f"{demo.issuer}/account/applications")
    at(page, "Applications with access")
    inspect(page, "applications-none")
    page.goto(f"{demo.issuer}/account/sessions/end-everywhere")
    inspect(page, "everywhere-alone")


def test_an_account_in_full_use(
    demo: Demo, browser: BrowserContext, new_browser: NewBrowser, tool: Tool, tmp_path: Path
) -> None:
    grace = demo.new_person("Grace Hopper")
    made = demo.idp(
        "clients",
        "create",
        "--name",
        "Drydock CLI",
        "--public",
        "--redirect-uri",
        "http://[::1]/callback",
        "--redirect-uri",
        "http://127.0.0.1/callback",
    )
    phone = new_browser(user_agent=IPHONE, address="2001:db8:7c4a:1f00:9d3e:52ff:fe10:8a6b").new_page()
    sign_in_at_application(phone, demo, grace)
    old = new_browser(user_agent=CHROME, address="203.0.113.80").new_page()
    open_account(old, demo, grace)
    Tool(demo, tmp_path, client_id=made["client_id"]).sign_in(old)
    page = browser.new_page()
    sign_in_at_application(page, demo, grace, is_first=False)
    tool.sign_in(page)
    demo.happened_before(grace, "Safari", started=timedelta(days=3), active=timedelta(hours=5))
    demo.happened_before(grace, "Drydock", started=timedelta(days=40), active=timedelta(days=2))
    demo.happened_before(grace, "Demo command-line tool", started=timedelta(hours=7), active=timedelta(minutes=12))

    page.goto(f"{demo.issuer}/account/sessions")
    row(page, "Chrome 141 on Windows").get_by_role("button", name="Sign out").click()
    at(page, page.get_by_role("heading", level=1).inner_text())
    inspect(page, "ended-with-tools")
    page.get_by_role("link", name="This wasn’t me").click()
    inspect(page, "ended-not-me")
    page.get_by_role("link", name="All signed-in devices").click()
    at(page, "Signed-in devices")
    inspect(page, "sessions")
    row(page, "Drydock CLI").get_by_role("checkbox").check()
    page.get_by_role("button", name="Sign out the chosen ones").click()
    at(page, "Sign out the chosen ones?")
    inspect(page, "chosen")
    page.goto(f"{demo.issuer}/account/sessions")
    row(page, "Demo command-line tool").get_by_role("heading").get_by_role("link").click()
    at(page, "Demo command-line tool on Linux")
    inspect(page, "session-tool")
    page.goto(f"{demo.issuer}/account/sessions")
    row(page, "Firefox 144 on Linux").get_by_role("heading").get_by_role("link").click()
    at(page, "Firefox 144 on Linux")
    inspect(page, "session-browser")
    page.goto(f"{demo.issuer}/account/sessions/end-unused?days=7")
    inspect(page, "unused")
    page.goto(f"{demo.issuer}/account/applications")
    inspect(page, "applications")
    page.goto(f"{demo.issuer}/account/sessions/end-others")
    inspect(page, "everywhere-else")
    page.locator("#confirm-end").click()
    expect(page.get_by_role("status")).to_be_visible()
    inspect(page, "sessions-notice")
    page.get_by_role("link", name="See who was told").click()
    at(page, "You signed out everywhere else")
    inspect(page, "receipt-in-history")
    page.get_by_role("link", name="All signed-in devices").click()
    page.locator("#sign-out").click()
    at(page, "You are signed out")
    receipt = page.url
    phone = phone.context.new_page()  # the other one shows the application, which goes where it likes
    phone.goto(receipt)
    expect(phone.get_by_text("Names are shown only in the browser that signed out.")).to_be_visible()
    inspect(phone, "receipt-without-names")
    phone.goto(f"{demo.issuer}/account")
    inspect(phone, "login-reason")


# ── Signing out ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_signing_out(demo: Demo, browser: BrowserContext, ada: Person, tool: Tool) -> None:
    page, application = browser.new_page(), browser.new_page()
    sign_in_at_application(application, demo, ada)
    tool.sign_in(page)
    page.goto(f"{demo.issuer}/logout")
    at(page, "Sign out of this browser?")
    inspect(page, "logout")
    page.goto(f"{demo.issuer}/oauth2/logout?client_id={demo.told['web_client_id']}")
    at(page, "Sign out of this browser?")
    inspect(page, "logout-for-application")
    page.goto(f"{demo.issuer}/account/sessions/end-everywhere")
    at(page, "Sign out everywhere?")
    inspect(page, "everywhere")
    with demo.slow_application():
        page.locator("#confirm-end").click()
        expect(page.get_by_text(NOT_YET_TOLD)).to_be_visible()
        inspect(page, "receipt-being-told")
    expect(page.get_by_text("Told at")).to_be_visible(timeout=STEP_SECONDS * 1000)
    inspect(page, "receipt-told")
    expect(application.locator("#state")).to_contain_text("signed out by the provider")
    inspect(application, "application-signed-out-by-provider")
    page.goto(f"{demo.issuer}/signed-out")
    inspect(page, "signed-out")


# ── Errors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("not-found", "/nowhere", 404),
        ("unknown-application", "/oauth2/authorize?client_id=nobody&response_type=code", 400),
        ("sign-in-over", "/login?request=0000", 400),
        ("receipt-gone", "/signed-out/0000.0000", 404),
        ("logout-unreadable", "/oauth2/logout?state=1&state=2", 400),
    ],
)
def test_errors(demo: Demo, browser: BrowserContext, name: str, path: str, status: int) -> None:
    page = browser.new_page()
    answer = page.goto(f"{demo.issuer}{path}")
    assert answer is not None
    assert answer.status == status
    inspect(page, f"error-{name}")


def test_a_form_of_an_old_page(demo: Demo, browser: BrowserContext, ada: Person) -> None:
    page = browser.new_page()
    page.goto(f"{demo.issuer}/login")
    browser.clear_cookies()
    fill_in_sign_in(page, ada)
    expect(page.locator("#request-id")).to_be_visible()
    inspect(page, "error-old-form")


def test_too_many_guesses(demo: Demo, browser: BrowserContext, ada: Person) -> None:
    page = browser.new_page()
    page.goto(f"{demo.issuer}/login")
    for _ in range(20):
        fill_in_sign_in(page, ada, password="not this one")
        expect(page.get_by_role("alert")).to_be_visible()
        if "too many" in page.get_by_role("alert").inner_text():
            break
    expect(page.get_by_role("alert")).to_have_text("There were too many attempts. Try again in 15 minutes.")
    inspect(page, "login-too-many")


# ── By keyboard ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("WCAG", "2.4.7")
def test_everything_on_the_account_page_is_reached_by_the_tab_key_and_seen_to_be(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool
) -> None:
    page = browser.new_page()
    open_account(page, demo, ada)
    tool.sign_in(page)
    page.goto(f"{demo.issuer}/account/sessions")

    names = walk_by_keyboard(page)

    assert names[0] == "Skip to content"
    wanted = (
        "Sign out",
        "Signed-in devices",
        "Applications with access",
        "Sign out everywhere else",
        "Sign out everywhere",
    )
    assert [name for name in names if name in wanted] == list(wanted)
    assert any(name.startswith("Sign out Demo command-line tool") for name in names)


@pytest.mark.spec("WCAG", "2.1.1")
def test_a_person_without_a_mouse_signs_in_and_out_everywhere(demo: Demo, browser: BrowserContext, ada: Person) -> None:
    page = browser.new_page()
    page.goto(f"{demo.issuer}/account")
    expect(page.get_by_label("E-mail or username")).to_be_focused()
    page.keyboard.type(ada.username)
    page.keyboard.press("Tab")
    page.keyboard.type(ada.password)
    page.keyboard.press("Enter")
    at(page, "Signed-in devices")

    names = walk_by_keyboard(page)
    page.reload()
    for _ in range(names.index("Sign out everywhere") + 1):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    at(page, "Sign out everywhere?")
    names = walk_by_keyboard(page)
    page.locator("#confirm-end").focus()
    page.keyboard.press("Enter")

    at(page, "You are signed out everywhere")
    assert names[-2:] == ["Sign out everywhere", "Cancel"]


@pytest.mark.spec("WCAG", "2.4.1")
def test_the_first_tab_offers_to_skip_to_the_content(demo: Demo, browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto(f"{demo.issuer}/signed-out")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.url.endswith("#main")
