"""All connections taken by slow requests: others are told 503 in time, while ends and refreshes are served as ever."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from idp.db.models import Session
from idp.web.priority import is_urgent
from tests.support.characters import Provider, RelyingParty, Tokens
from tests.support.databases import BACKENDS
from tests.support.pages import Visitor

SIZE = 4


@pytest.fixture(params=BACKENDS)
def database_backend(request: pytest.FixtureRequest) -> str:
    """Both: each process has its own few connections to an embedded database too."""
    return str(request.param)


@pytest.fixture
def provider(open_provider: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setattr("idp.db.engine.BUSY_TIMEOUT_SECONDS", 1)
    provider = open_provider(database_pool_size=SIZE)
    provider.keys("RS256")
    provider.person("ada")
    return provider


@pytest.fixture
def tokens(rp: RelyingParty, browser: Visitor) -> Tokens:
    return rp.sign_in(browser)


@contextmanager
def everybody_reads(provider: Provider) -> Iterator[int]:
    """Slow requests that hold a connection each, as many as get one; yields how many did."""
    is_over, settled, holding = threading.Event(), threading.Semaphore(0), []

    def read() -> None:
        try:
            with provider.services.database.reading() as tx:
                tx.execute(text("SELECT 1"))
                holding.append(1)
                settled.release()
                is_over.wait(60)
        except Exception:  # noqa: BLE001 - no connection for this one
            settled.release()

    threads = [threading.Thread(target=read) for _ in range(2 * SIZE)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert settled.acquire(timeout=60)
    try:
        yield len(holding)
    finally:
        is_over.set()
        for thread in threads:
            thread.join(60)


def test_ends_and_refreshes_are_served_when_slow_pages_hold_all_other_connections(
    provider: Provider, rp: RelyingParty, browser: Visitor, tokens: Tokens
) -> None:
    second = provider.visitor()
    other = rp.sign_in(second)
    question = second.page("/account/sessions/end-everywhere").form("/account/sessions/end-everywhere")

    with everybody_reads(provider) as holding:
        page = browser.get("/account/sessions")
        refreshed = rp.refresh(tokens)
        revoked = rp.revoke(other.refresh_token)
        signed_out = browser.get(f"/oauth2/logout?id_token_hint={tokens.id_token}")
        everywhere = second.submit(question)

    assert holding == SIZE - 2
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert refreshed.status == 200
    assert revoked.status_code == 200
    assert signed_out.status_code == 303
    assert everywhere.status_code == 303
    assert provider.heart.all(Session, Session.ended_at.is_(None)) == []
    assert browser.get("/account/sessions").status_code == 303, "to sign in: connections are free again"


def test_one_connection_alone_serves_everybody(open_provider: Callable[..., Provider]) -> None:
    provider = open_provider(database_pool_size=1)
    provider.keys("RS256")
    provider.person("ada")
    rp, browser = provider.relying_party(), provider.visitor()

    tokens = rp.sign_in(browser)

    assert rp.refresh(tokens).status == 200
    assert browser.get("/account/sessions").status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "method", "urgent"),
    [
        ("oauth.token_endpoint", "POST", True),
        ("oauth.revocation_endpoint", "POST", True),
        ("logout.end_session", "GET", True),
        ("account.end_all", "POST", True),
        ("account.sessions", "GET", False),
        ("oauth.introspection_endpoint", "POST", False),
        ("login.sign_in", "POST", False),
        ("", "GET", False),
    ],
)
def test_only_what_ends_or_refreshes_goes_first(endpoint: str, method: str, urgent: bool) -> None:
    assert is_urgent(endpoint, method) is urgent
