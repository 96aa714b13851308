"""What `idp demo` prints, walked through in a real browser: two applications, two copies of a tool, and a mail."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.demo import Demo, Person, Tool
from tests.browser.inspection import inspect
from tests.browser.steps import (
    expect_signed_in_at_application,
    letters_to,
    open_account,
    reload_until,
    row,
    section,
    sign_in_at_application,
)

pytestmark = pytest.mark.browser

TOOL = "Demo command-line tool"
TOLD_BY_PROVIDER = "You were signed out by the provider at"


def test_the_story_that_the_demo_prints_comes_true(
    demo: Demo, browser: BrowserContext, ada: Person, tmp_path: Path
) -> None:
    wiki, shop, account = browser.new_page(), browser.new_page(), browser.new_page()
    copies = [Tool(demo, tmp_path), Tool(demo, tmp_path)]

    # Sign in at both; the second application asks for no password.
    sign_in_at_application(wiki, demo, ada)
    shop.goto(demo.second_application)
    shop.locator("#sign-in").click()
    expect(shop.get_by_role("heading", name="Demo shop asks for access to your account")).to_be_visible()
    shop.locator("#consent-allow").click()
    expect_signed_in_at_application(shop)
    wiki.reload()
    expect_signed_in_at_application(wiki)  # neither application's cookie is in the other's way

    # See both on the account page, and sign in the tool twice.
    for copy in copies:
        copy.sign_in(account)
    account.goto(f"{demo.issuer}/account/sessions")
    browsers, tools = section(account, "Browsers"), section(account, "Apps and command-line tools")
    expect(browsers.get_by_role("listitem")).to_have_count(1)
    expect(browsers.get_by_text("Used for")).to_contain_text("Demo shop")
    expect(browsers.get_by_text("Used for")).to_contain_text("Demo wiki")
    expect(tools.get_by_role("listitem")).to_have_count(2)
    inspect(account, "story-devices")

    # End one copy: the other, and both applications, go on.
    row(account, TOOL).first.get_by_role("button", name="Sign out").click()
    expect(account.get_by_role("status")).to_contain_text(f"{TOOL} on Linux is signed out.")
    expect(tools.get_by_role("listitem")).to_have_count(1)
    assert sorted(copy.run("status").status for copy in copies) == [0, 3]
    for application in (wiki, shop):
        application.reload()
        expect_signed_in_at_application(application)

    # Sign out everywhere: the receipt fills, and everything loses its access.
    account.locator("#sign-out-everywhere").click()
    account.locator("#confirm-end").click()
    expect(account.get_by_role("heading", name="You are signed out everywhere")).to_be_visible()
    for name in ("Demo wiki", "Demo shop"):
        line = account.get_by_role("listitem").filter(has=account.get_by_text(name, exact=True))
        expect(line).to_contain_text("Told at")
    for application in (wiki, shop):
        expect(application.locator("#state")).to_contain_text(TOLD_BY_PROVIDER)
    assert [copy.run("refresh").status for copy in copies if copy.token_file.exists()] == [3]
    inspect(account, "story-receipt")


def test_an_old_copy_of_a_token_signs_the_tool_out_and_its_owner_gets_mail(
    demo: Demo, browser: BrowserContext, ada: Person, tmp_path: Path
) -> None:
    page, mail = browser.new_page(), browser.new_page()
    owner, thief, other = Tool(demo, tmp_path), Tool(demo, tmp_path), Tool(demo, tmp_path)
    open_account(page, demo, ada)
    owner.sign_in(page)
    other.sign_in(page)
    thief.token_file.parent.mkdir()
    shutil.copy(owner.token_file, thief.token_file)
    assert owner.run("refresh").status == 0
    demo.refreshed_before(ada, ago=timedelta(seconds=11))  # longer than a token may be repeated
    assert owner.run("refresh").status == 0
    mail.goto(demo.told["mail"])
    expect(letters_to(mail, ada)).to_have_count(0)

    refused = thief.run("refresh")

    assert refused.status == 3
    assert owner.run("refresh").status == 3
    assert other.run("refresh").status == 0, "only the app whose token was stolen is signed out"
    reload_until(mail, lambda: letters_to(mail, ada).count() > 0)
    letter = letters_to(mail, ada)
    expect(letter).to_have_count(1)
    expect(letter.get_by_role("heading", name=f"{TOOL} was signed out to be safe")).to_be_visible()
    expect(letter).to_contain_text("an old copy of its sign-in was used")
    inspect(mail, "caught-mail")
    letter.get_by_role("link", name=f"{demo.issuer}/account/sessions").click()
    expect(mail.get_by_role("heading", name="Signed-in devices")).to_be_visible()


def test_alice_and_bob_are_two_people(demo: Demo, browser: BrowserContext) -> None:
    page = browser.new_page()

    open_account(page, demo, demo.bob)

    expect(page.get_by_text(demo.bob.username).first).to_be_visible()
    expect(page.get_by_text(demo.alice.email)).to_have_count(0)
