"""The story that `idp demo` tells, with real processes and a real browser: signing in, and out again everywhere."""

from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import NewBrowser
from tests.browser.demo import NOT_YET_TOLD, STEP_SECONDS, Demo, Person, Tool, finish
from tests.browser.steps import (
    expect_signed_in_at_application,
    fill_in_sign_in,
    letters_to,
    open_account,
    reload_until,
    row,
    section,
    sign_in_at_application,
)
from tests.support.chromium import find_chromium, launch_arguments

pytestmark = pytest.mark.browser

TOOL = "Demo command-line tool"
SIGNED_OUT_ELSEWHERE = "You were signed out of this tool (for example on the account page)."


def open_devices(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.issuer}/account/sessions")
    expect(page.get_by_role("heading", name="Signed-in devices")).to_be_visible()


def expect_to_be_asked_to_sign_in(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.issuer}/account/sessions")
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    expect(page.get_by_text("Signed-in devices")).to_have_count(0)


def error_of_silent_sign_in(browser: BrowserContext, demo: Demo) -> str:
    """The `error` with which an application's silent question is answered, or "" when it gets a code."""
    answer = browser.request.get(demo.silent_sign_in_address(), max_redirects=0)
    fields = dict(part.split("=", 1) for part in answer.headers["location"].partition("?")[2].split("&"))
    assert ("code" in fields) != ("error" in fields)
    return fields.get("error", "")


# ── The story ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sign_out_everywhere_reaches_the_application_and_the_tool_and_shows_that_it_did(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool
) -> None:
    application, account = browser.new_page(), browser.new_page()

    sign_in_at_application(application, demo, ada)
    expect(application.get_by_role("heading")).to_have_text("Hello, Ada Lovelace")

    tool.sign_in(account)
    assert "You are signed in as Ada Lovelace" in tool.run("status").output

    open_devices(account, demo)
    expect(section(account, "Browsers").get_by_role("listitem")).to_have_count(1)
    expect(section(account, "Browsers").get_by_text("This device", exact=True)).to_be_visible()
    expect(section(account, "Browsers").get_by_text("Used for Demo wiki")).to_be_visible()
    expect(section(account, "Apps and command-line tools").get_by_role("listitem")).to_have_count(1)
    expect(row(account, TOOL).get_by_text("Approved in")).to_be_visible()
    assert error_of_silent_sign_in(browser, demo) == ""

    account.locator("#sign-out-everywhere").click()
    expect(account.get_by_role("heading", name="Sign out everywhere?")).to_be_visible()
    expect(account.get_by_role("definition")).to_have_text(["1", "1"])
    expect(account.get_by_text("Told at once").locator("..")).to_contain_text("Demo wiki")
    expect(account.get_by_text("Cannot be told:").locator("..")).to_contain_text(TOOL)

    with demo.slow_application():
        account.locator("#confirm-end").click()
        expect(account.get_by_role("heading", name="You are signed out everywhere")).to_be_visible()
        told = account.get_by_role("listitem").filter(has=account.get_by_text("Demo wiki", exact=True))
        expect(told).to_contain_text(NOT_YET_TOLD)
        account.evaluate("window.sameDocument = true")
    expect(told).to_contain_text("Told at", timeout=STEP_SECONDS * 1000)
    assert account.evaluate("window.sameDocument"), "the page was loaded again"
    expect(account.get_by_role("listitem").filter(has_text=TOOL)).to_contain_text("Cannot be told")

    # The open page of the application finds out by itself, too.
    expect(application.locator("#state")).to_contain_text("You were signed out by the provider at")
    refused = tool.run("status")
    assert refused.status == 3
    assert SIGNED_OUT_ELSEWHERE in refused.errors
    assert error_of_silent_sign_in(browser, demo) == "login_required"
    expect_to_be_asked_to_sign_in(account, demo)


def test_an_administrator_ends_everything_and_everybody_learns_it(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool
) -> None:
    page = browser.new_page()
    sign_in_at_application(page, demo, ada)
    tool.sign_in(browser.new_page())

    demo.idp("sessions", "end", "--user", ada.username, "--all")

    expect(page.locator("#state")).to_contain_text("You were signed out by the provider at")
    assert tool.run("refresh").status == 3
    expect_to_be_asked_to_sign_in(page, demo)
    expect(page.get_by_text("an administrator ended your session")).to_be_visible()
    page.goto(demo.told["mail"])
    letter = letters_to(page, ada)
    reload_until(page, lambda: letter.count() > 0)
    expect(letter).to_contain_text("Why: an administrator ended it.")


def test_a_second_demo_goes_on_with_the_people_and_sign_ins_of_the_first(
    demo: Demo, browser: BrowserContext, new_browser: NewBrowser, tmp_path: Path
) -> None:
    credentials, tool = demo.alice, Tool(demo, tmp_path)
    page = browser.new_page()
    sign_in_at_application(page, demo, credentials)
    tool.sign_in(browser.new_page())

    demo.restart()

    assert demo.alice == credentials
    page.reload()
    expect_signed_in_at_application(page)
    open_devices(page, demo)
    expect(page.get_by_text("This device", exact=True)).to_be_visible()
    assert tool.run("refresh").status == 0
    sign_in_at_application(new_browser().new_page(), demo, credentials, is_first=False)


# ── Signing in ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mistake", ["password", "name"])
def test_a_wrong_password_and_a_wrong_name_are_answered_with_the_same_plain_sentence(
    demo: Demo, browser: BrowserContext, ada: Person, mistake: str
) -> None:
    wrong = Person(ada.username, ada.email, "not this one") if mistake == "password" else Person("nobody", "", "secret")
    page = browser.new_page()
    page.goto(demo.application)
    page.locator("#sign-in").click()

    fill_in_sign_in(page, wrong)

    expect(page.get_by_role("alert")).to_have_text(
        "That name and password do not belong together. Check both and try again."
    )
    expect(page.get_by_label("E-mail or username")).to_have_value(wrong.username)
    expect(page.get_by_label("Password", exact=True)).to_have_value("")
    fill_in_sign_in(page, ada)  # and the sign-in under way is not lost
    page.locator("#consent-allow").click()
    expect_signed_in_at_application(page)


@pytest.mark.spec("RFC 8252", "8.6")
def test_a_tool_gets_nothing_before_its_own_page_was_answered(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool
) -> None:
    page = browser.new_page()
    open_account(page, demo, ada)
    tool.sign_in(page)  # consent is given once and for all; the page comes each time

    with tool.signing_in() as second:
        page.goto(second.address)
        expect(page.get_by_role("heading", name=f"You are signing in the app {TOOL} on this computer")).to_be_visible()
        page.locator("#consent-deny").click()
        expect(page.get_by_role("heading", name="Back to the terminal")).to_be_visible()
        refused = second.finish()

    assert refused.status == 1
    assert "The sign-in was cancelled." in refused.errors
    open_devices(page, demo)
    expect(section(page, "Apps and command-line tools").get_by_role("listitem")).to_have_count(1)


@pytest.mark.parametrize("lock", ["with a lock", "without a lock"])
def test_copies_of_the_tool_that_refresh_at_once_stay_signed_in(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool, lock: str
) -> None:
    page = browser.new_page()
    open_account(page, demo, ada)
    tool.sign_in(page)
    changes = {"CLI_APP_NO_LOCK": "1"} if lock == "without a lock" else {}

    copies = [tool.start("refresh", **changes) for _ in range(5)]
    done = [finish(copy) for copy in copies]

    assert [copy.status for copy in done] == [0] * 5, [copy.errors for copy in done]
    assert tool.run("status").status == 0
    open_devices(page, demo)
    expect(section(page, "Apps and command-line tools").get_by_role("listitem")).to_have_count(1)


# ── Signing out ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("RP-Initiated Logout", "3")
def test_signing_out_at_the_application_ends_the_browsers_session_and_leads_back(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool
) -> None:
    page = browser.new_page()
    sign_in_at_application(page, demo, ada)
    tool.sign_in(browser.new_page())

    page.locator("#sign-out").click()

    # The application compares `state` itself, and complains when it is not the one that it sent.
    expect(page.get_by_text("You are signed out here and at the provider.")).to_be_visible()
    assert page.url.startswith(f"{demo.application}/signed-out?state=")
    assert error_of_silent_sign_in(browser, demo) == "login_required"
    expect_to_be_asked_to_sign_in(page, demo)
    assert tool.run("refresh").status == 0, "signing out of a browser must leave the tools alone"


def test_ending_the_tool_in_its_row_leaves_the_browser_signed_in(
    demo: Demo, browser: BrowserContext, ada: Person, tool: Tool
) -> None:
    page = browser.new_page()
    sign_in_at_application(page, demo, ada)
    tool.sign_in(browser.new_page())
    open_devices(page, demo)

    row(page, TOOL).get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("status")).to_contain_text(f"{TOOL} on Linux is signed out.")
    expect(section(page, "Apps and command-line tools")).to_contain_text("No app or tool is signed in")
    expect(section(page, "Recently ended")).to_contain_text("You signed it out on the account page")
    refused = tool.run("refresh")
    assert refused.status == 3
    assert SIGNED_OUT_ELSEWHERE in refused.errors
    page.goto(demo.application)
    expect_signed_in_at_application(page)
    page.locator("#details").click()
    expect(page.get_by_role("heading", name="What the provider says about you")).to_be_visible()


def test_withdrawing_an_applications_access_signs_out_of_it_and_of_nothing_else(
    demo: Demo, browser: BrowserContext, ada: Person
) -> None:
    application, account = browser.new_page(), browser.new_page()
    sign_in_at_application(application, demo, ada)
    account.goto(f"{demo.issuer}/account/applications")

    account.get_by_role("button", name="Withdraw the access of Demo wiki").click()
    account.get_by_role("link", name="See who was told").click()

    expect(account.get_by_role("heading", name="You withdrew the application’s access")).to_be_visible()
    expect(account.get_by_text("Told at")).to_be_visible()
    expect(application.locator("#state")).to_contain_text("You were signed out by the provider at")
    account.get_by_role("link", name="Signed-in devices", exact=True).click()
    expect(account.get_by_text("This device", exact=True)).to_be_visible()
    application.locator("#sign-in").click()
    expect(application.get_by_role("heading", name="Demo wiki asks for access")).to_be_visible()


def test_going_back_after_signing_out_shows_nothing_of_the_account(
    demo: Demo, browser: BrowserContext, ada: Person
) -> None:
    page = browser.new_page()
    open_account(page, demo, ada)

    page.locator("#sign-out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    page.go_back()

    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    expect(page.get_by_text(ada.email)).to_have_count(0)


def test_a_page_that_the_browser_kept_whole_is_not_shown_once_the_session_is_over(
    demo: Demo, chromium: Browser, ada: Person
) -> None:
    # Playwright switches this memory of Chromium's off; people have it on.
    remembering = chromium.browser_type.launch(
        executable_path=find_chromium(),
        args=launch_arguments(),
        ignore_default_args=["--disable-back-forward-cache"],
    )
    with closing(remembering):
        page = remembering.new_page()
        open_account(page, demo, ada)
        page.goto(f"{demo.application}")
        demo.idp("sessions", "end", "--user", ada.username, "--all")

        page.evaluate("() => void setTimeout(() => history.back())")  # an answer before the page is gone

        expect(page.get_by_text("an administrator ended your session")).to_be_visible()
        expect(page.get_by_text(ada.email)).to_have_count(0)


def test_another_tab_shows_the_account_no_longer_than_this_one(
    demo: Demo, browser: BrowserContext, ada: Person
) -> None:
    page, other = browser.new_page(), browser.new_page()
    open_account(page, demo, ada)
    open_devices(other, demo)

    page.locator("#sign-out").click()

    expect(other.get_by_role("heading", name="You are signed out")).to_be_visible()
    expect(other.get_by_text("Signed-in devices")).to_be_hidden()


def test_signing_out_another_browser_ends_it_there_and_says_why(
    demo: Demo, browser: BrowserContext, new_browser: NewBrowser, ada: Person
) -> None:
    phone = new_browser(
        user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/26.0 Mobile/15E148 Safari/604.1",
        address="198.51.100.24",
    ).new_page()
    sign_in_at_application(phone, demo, ada)
    page = browser.new_page()
    open_account(page, demo, ada)
    there = row(page, "Safari 26 on iPhone")
    expect(there).to_contain_text("198.51.100.24")

    there.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("status")).to_contain_text("is signed out.")
    expect(phone.locator("#state")).to_contain_text("You were signed out by the provider at")
    expect_to_be_asked_to_sign_in(phone, demo)
    expect(phone.get_by_text("this browser was signed out from another device")).to_be_visible()
    open_devices(page, demo)


def test_everything_works_without_javascript(demo: Demo, new_browser: NewBrowser, ada: Person, tool: Tool) -> None:
    browser = new_browser(java_script_enabled=False)
    application, account = browser.new_page(), browser.new_page()
    sign_in_at_application(application, demo, ada)
    tool.sign_in(account)
    open_devices(account, demo)

    account.locator("#sign-out-everywhere").click()
    with demo.slow_application():
        account.locator("#confirm-end").click()
        told = account.get_by_role("listitem").filter(has=account.get_by_text("Demo wiki", exact=True))
        expect(told).to_contain_text(NOT_YET_TOLD)

    expect(told).to_contain_text("Told at", timeout=STEP_SECONDS * 1000)
    application.reload()
    expect(application.locator("#state")).to_contain_text("You were signed out by the provider at")
    assert tool.run("status").status == 3
    expect_to_be_asked_to_sign_in(account, demo)
