"""An embedded database whose disk is full: 503 and nothing half done, and everything works when there is room again.

The disk is full for SQLite when it may take no further page. `tests.crash` does the same to real processes, with a
limit on the size of files, and fills the file system of a PostgreSQL.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from idp.db.models import LogoutDelivery, LogoutEvent, Session
from tests.support.characters import Provider
from tests.support.pages import Visitor

LOGOUT = "https://rp.example/backchannel-logout"
EVERYWHERE = "/account/sessions/end-everywhere"
ROOM = 1_073_741_823  # pages: SQLite's own limit
# What is free in the pages that there are is used up long before.
PEOPLE = 30


class Disk:
    """How many pages the provider's connections may take: any number, or as many as there are."""

    def __init__(self, provider: Provider) -> None:
        self.pages = ROOM
        event.listen(provider.services.database.engine, "checkout", self._on_checkout)

    def _on_checkout(self, connection: Any, _record: Any, _fairy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={self.pages}").fetchone()

    def fill(self) -> None:
        self.pages = 1  # SQLite never goes below what there is

    def make_room(self) -> None:
        self.pages = ROOM


@pytest.fixture
def database_backend() -> str:
    """SQLite: a full disk of PostgreSQL needs a file system of its own."""
    return "sqlite"


def test_with_a_full_disk_an_end_happens_whole_or_not_at_all(open_provider: Callable[..., Provider]) -> None:
    provider = open_provider()
    heart, disk = provider.heart, Disk(provider)
    client = heart.client(backchannel_logout_uri=LOGOUT)
    sign_ins = [heart.sign_in(heart.person()) for _ in range(PEOPLE)]
    browsers: list[Visitor] = []
    for sign_in in sign_ins:
        heart.tokens_for(sign_in, client)
        browsers.append(provider.visitor())
        browsers[-1].client.set_cookie("idp_session", sign_in.handle.reveal())
    forms = [browser.page(EVERYWHERE).form(EVERYWHERE) for browser in browsers]

    disk.fill()
    statuses = []
    for browser, form in zip(browsers, forms, strict=True):
        answer = browser.submit(form)
        statuses.append(answer.status_code)
        if answer.status_code == 503:
            assert answer.headers["Retry-After"] == "5"
            assert "Location" not in answer.headers

    assert set(statuses) == {303, 503}, "the disk did not fill up: the test says nothing"
    done = {one.session_id for one, status in zip(sign_ins, statuses, strict=True) if status == 303}
    assert {row.id for row in heart.all(Session, Session.ended_at.is_not(None))} == done
    assert {row.session_id for row in heart.all(LogoutDelivery)} == done
    assert len(heart.all(LogoutEvent)) == len(done)
    for one in sign_ins:
        assert (heart.current(one.handle) is None) == (one.session_id in done)

    disk.make_room()
    again = [browser.submit(form) for browser, form, old in zip(browsers, forms, statuses, strict=True) if old == 503]

    assert {answer.status_code for answer in again} == {303}
    assert {row.session_id for row in heart.all(LogoutDelivery)} == {one.session_id for one in sign_ins}
