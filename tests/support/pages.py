"""`site` and `Visitor`: the pages over HTTP, as a browser without JavaScript meets them.

A visitor keeps cookies, follows no redirect by itself, and fills in the forms that the page really contains: a field or
a button that is missing there fails the test.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from idp import users
from idp.app import create_app
from idp.db.models import User
from idp.kit.opaque import Secret
from idp.settings import Settings
from idp.web.services import EXTENSION, Services
from tests.support.heart import Heart

PASSWORD = "correct horse battery staple"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


@dataclass
class Form:
    """One form of a page: where it goes, its fields, its buttons."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """What a test wants to know of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.ids: set[str] = set()
        self.links: dict[str, str] = {}
        self.images: list[str] = []
        self._pieces: list[str] = []
        self._form: Form | None = None
        self._link: tuple[str, list[str]] | None = None
        self._silent = 0
        self.feed(html)
        self.text = " ".join("".join(self._pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag in {"script", "style"}:
            self._silent += 1
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get"))
            self.forms.append(self._form)
        elif tag == "a":
            self._link = (given.get("href", ""), [])
        elif tag == "img":
            self.images.append(given.get("src", ""))
        elif self._form is not None and tag == "input":
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self._form.fields[given["name"]] = given.get("value", "")
        elif self._form is not None and tag == "button":
            self._form.buttons[given.get("id", "")] = (given.get("name", ""), given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"a", "strong", "time"}:
            self._pieces.append(" ")
        if tag in {"script", "style"}:
            self._silent -= 1
        if tag == "form":
            self._form = None
        if tag == "a" and self._link is not None:
            self.links[" ".join("".join(self._link[1]).split())] = self._link[0]
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self._pieces.append(data)
        if self._link is not None:
            self._link[1].append(data)

    def form(self, action: str) -> Form:
        """The form that goes to this path (its query aside)."""
        found = [form for form in self.forms if urlsplit(form.action).path == action]
        assert found, f"no form goes to {action}: {[form.action for form in self.forms]}"
        return found[0]


class Visitor:
    """One browser."""

    def __init__(self, client: FlaskClient, address: str, user_agent: str) -> None:
        self.client = client
        self._address = address
        self._user_agent = user_agent
        self.at = "/"

    def get(self, path: str, **headers: str) -> TestResponse:
        """Open an address; redirects are not followed."""
        self.at = path
        return self._open(path, "GET", headers=headers)

    def page(self, path: str) -> Page:
        """Open an address that must show a page."""
        response = self.get(path)
        assert response.status_code == 200, (response.status_code, response.location)
        return Page(response.text)

    def submit(
        self, form: Form, *, button: str = "", headers: dict[str, str] | None = None, **fields: Any
    ) -> TestResponse:
        """Send a form of a page, with these fields changed. `button` is the id of the button that is pressed."""
        if button:
            assert button in form.buttons, f"no button #{button}: {sorted(form.buttons)}"
        name, value = form.buttons.get(button, ("", ""))
        data = {**form.fields, **({name: value} if name else {}), **fields}
        return self._open(urljoin(self.at, form.action), "POST", data=data, headers=headers or {})

    def sign_in(self, name: str, password: str = PASSWORD, *, keep: bool = False, path: str = "/login") -> TestResponse:
        """Fill in the sign-in page at `path`."""
        form = self.page(path).form("/login")
        extra: dict[str, Any] = {"keep_signed_in": "yes"} if keep else {}
        return self.submit(form, button="login-submit", username=name, password=password, **extra)

    def cookie(self, name: str) -> str | None:
        """The value of a cookie that this browser holds."""
        found = self.client.get_cookie(name)
        return found.value if found else None

    def _open(self, path: str, method: str, **given: Any) -> TestResponse:
        headers = {"User-Agent": self._user_agent, **given.pop("headers", {})}
        return self.client.open(
            path, method=method, headers=headers, environ_base={"REMOTE_ADDR": self._address}, buffered=True, **given
        )


class Site:
    """The application on a test's own database, as its pages' tests need it."""

    def __init__(self, heart: Heart, settings: Settings) -> None:
        self.heart = heart
        self.settings = settings
        self.app = create_app(settings, clock=heart.clock)
        self.app.testing = True
        self.services: Services = self.app.extensions[EXTENSION]

    @property
    def engine(self) -> Engine:
        """What the pages' statements go through."""
        return self.services.database.engine

    def visitor(self, *, address: str = "192.0.2.7", user_agent: str = FIREFOX) -> Visitor:
        """A new browser, without cookies."""
        return Visitor(self.app.test_client(), address, user_agent)

    def person(self, name: str = "ada", password: str | None = PASSWORD) -> User:
        """Somebody with an account."""
        password_hash = users.hash_password(Secret(password)) if password is not None else None
        with self.heart.database.transaction() as tx:
            user = users.create_user(
                tx,
                email=f"{name}@example.com",
                username=name,
                password_hash=password_hash,
                claims={},
                now=self.heart.now,
            )
        assert isinstance(user, User)
        return user

    def signed_in(self, name: str, **visitor: str) -> Visitor:
        """A new browser in which this person has signed in."""
        browser = self.visitor(**visitor)
        assert browser.sign_in(name).status_code == 303
        return browser


@pytest.fixture
def open_site(heart: Heart) -> Iterator[Callable[..., Site]]:
    """Makes a site with changed settings."""
    opened: list[Site] = []

    def make(**changes: Any) -> Site:
        heart.with_settings(**changes)
        opened.append(Site(heart, heart.settings))
        return opened[-1]

    yield make
    for site in opened:
        site.engine.dispose()


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """The pages at an http issuer on this machine."""
    return open_site(issuer="http://localhost")
