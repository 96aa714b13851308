"""A person's browser in front of the demo application, without a real browser."""

from urllib.parse import urlsplit

import requests
from flask import Flask
from werkzeug.test import TestResponse

CLIENT_ID = "demo-rp"
COOKIE = "demo_rp_1_session"


class Browser:
    """A person's browser at the application, who is signed in at the provider already."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, path: str) -> TestResponse:
        return self.client.get(path)

    def post(self, path: str, form: dict[str, str] | None = None) -> TestResponse:
        return self.client.post(path, data=form or {})

    def press(self, path: str) -> TestResponse:
        """Send the form for `path` that the home page shows."""
        page = self.get("/").text
        form_token = page.split(f'action="{path}"', 1)[1].split('name="form_token" value="', 1)[1].split('"', 1)[0]
        return self.post(path, {"form_token": form_token})

    def go_to_provider(self) -> str:
        """Up to the redirect back: the callback address that the provider answers with."""
        away = self.get("/sign-in")
        assert away.status_code == 302, away.text
        back = requests.get(away.location, allow_redirects=False, timeout=5)
        assert back.status_code == 303, back.text
        parts = urlsplit(back.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def sign_in(self) -> TestResponse:
        answer = self.get(self.go_to_provider())
        assert answer.status_code == 303, answer.text
        return answer

    def state(self) -> str:
        return self.get("/").text.split('id="state"', 1)[1].split(">", 1)[1].split("<", 1)[0]

    @property
    def handle(self) -> str | None:
        """The value of the session cookie."""
        cookie = self.client.get_cookie(COOKIE)
        return cookie.value if cookie else None

    @property
    def is_signed_in(self) -> bool:
        """What the open page is told when it asks whether it still tells the truth."""
        status: dict[str, bool] | None = self.get("/status").json
        assert status is not None
        return status["signed_in"]
