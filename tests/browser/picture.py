"""`python -m tests.browser.picture`: draw docs/images/account-sessions.png anew, from a demo on its usual ports."""

import tempfile
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.demo import ROOT, Demo, Tool
from tests.browser.steps import open_account, row, sign_in_at_application
from tests.support.chromium import find_chromium, launch_arguments

PICTURE = ROOT / "docs" / "images" / "account-sessions.png"
LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
OFFICE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.0 Mobile/15E148 Safari/604.1"
)


def draw(demo: Demo, folder: Path) -> None:
    """A laptop, a phone, two tools, and a computer that was signed out."""
    alice = demo.alice
    address = ("--redirect-uri", "http://127.0.0.1/callback")
    drydock = demo.idp("clients", "create", "--name", "Drydock CLI", "--public", *address)["client_id"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=launch_arguments())

        def browse(agent: str, address: str) -> Page:
            headers = {"X-Forwarded-For": address}
            return chromium.new_page(
                user_agent=agent, extra_http_headers=headers, viewport={"width": 1280, "height": 1000}
            )

        office, phone = browse(OFFICE, "203.0.113.80"), browse(PHONE, "198.51.100.24")
        open_account(office, demo, alice, keep=True)
        sign_in_at_application(phone, demo, alice)
        page = browse(LAPTOP, "192.0.2.17")
        sign_in_at_application(page, demo, alice, is_first=False)
        Tool(demo, folder).sign_in(page)
        Tool(demo, folder, client_id=drydock).sign_in(page)
        page.goto(f"{demo.issuer}/account/sessions")
        row(page, "Windows").get_by_role("button", name="Sign out").click()
        day, hour, minute = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
        demo.happened_before(alice, "Firefox", started=40 * day, active=0 * day)
        demo.happened_before(alice, "Safari", started=11 * day, active=5 * hour)
        demo.happened_before(alice, "Drydock", started=38 * day, active=2 * day)
        demo.happened_before(alice, "Demo command-line tool", started=3 * day, active=12 * minute)
        page.goto(f"{demo.issuer}/account/sessions")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE, full_page=True)
        chromium.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        running = Demo(Path(name), ports=range(9000, 9005))
        running.start()
        try:
            draw(running, Path(name))
        finally:
            running.stop()
