"""What a person does in a browser, by what they can see: names of fields, buttons, links and headings."""

import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.demo import STEP_SECONDS, Demo, Person


def fill_in_sign_in(page: Page, person: Person, *, password: str = "", keep: bool = False) -> None:
    """Fill in the provider's sign-in page, and send it."""
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    page.get_by_label("E-mail or username").fill(person.username)
    page.get_by_label("Password", exact=True).fill(password or person.password)
    if keep:
        page.get_by_label("Keep me signed in").check()
    page.locator("#login-submit").click()


def open_account(page: Page, demo: Demo, person: Person, *, keep: bool = False) -> None:
    """Sign in at the provider itself, which shows the signed-in devices then."""
    page.goto(f"{demo.issuer}/account")
    fill_in_sign_in(page, person, keep=keep)
    expect(page.get_by_role("heading", name="Signed-in devices")).to_be_visible()


def sign_in_at_application(page: Page, demo: Demo, person: Person, *, is_first: bool = True) -> None:
    """From the application to the provider and back. `is_first`: the application has to ask for access."""
    page.goto(demo.application)
    page.locator("#sign-in").click()
    fill_in_sign_in(page, person)
    if is_first:
        expect(page.get_by_role("heading", name="Demo wiki asks for access to your account")).to_be_visible()
        page.locator("#consent-allow").click()
    expect_signed_in_at_application(page)


def expect_signed_in_at_application(page: Page) -> None:
    """The application shows somebody."""
    expect(page.locator("#state")).to_have_text("You are signed in.")


def row(page: Page, title: str) -> Locator:
    """The row of the account page with this in its title, among what is signed in."""
    return page.locator("li.row[id]").filter(has=page.get_by_role("heading", name=title))


def section(page: Page, name: str) -> Locator:
    """A section of the account page."""
    return page.get_by_role("region", name=name, exact=True)


def reload_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Load a page that does not change by itself again and again, for a bounded time."""
    deadline = time.monotonic() + STEP_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, page.inner_text("body")
        page.wait_for_timeout(200)
        page.reload()


def letters_to(page: Page, person: Person) -> Locator:
    """What the mail catcher shows of a person's mail."""
    return page.get_by_role("article").filter(has_text=f"To {person.email}")
