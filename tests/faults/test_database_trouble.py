"""A database that is away or hangs: 503 with Retry-After within seconds, nothing lost, and no restart afterwards.

The application runs in the test, its database behind our proxy; nobody waits for the longest bound there is, which is
shortened here and looked at by itself.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Integer, create_engine, literal, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.test import TestResponse

from idp.db.bounded import BATCH_SECONDS, REQUEST_SECONDS
from idp.db.engine import BUSY_TIMEOUT_SECONDS, Database, DatabaseBusy, engine_options
from idp.db.fixed import FixedStatement
from idp.db.models import LogoutDelivery, Session, TokenFamily
from idp.db.silence import PAUSE_SECONDS, TRY_SECONDS
from idp.outbox.wake import WakeUp
from tests.support.characters import Provider, RelyingParty, Tokens
from tests.support.databases import open_engine
from tests.support.heart import HandClock
from tests.support.pages import Page, Visitor
from tests.support.postgres_proxy import PostgresProxy

LOGOUT = "https://rp.example/backchannel-logout"
# No answer takes this long, on the busiest machine: whoever waits so long would wait for ever.
HANGS_AFTER_SECONDS = 40


@dataclass
class Scene:
    """Ada, signed in, with an application that holds tokens."""

    provider: Provider
    rp: RelyingParty
    browser: Visitor
    tokens: Tokens

    def requests(self) -> dict[str, Callable[[], TestResponse]]:
        """One of each kind of request that needs the database."""
        rp, browser = self.rp, self.browser
        refresh = {"grant_type": "refresh_token", "refresh_token": self.tokens.refresh_token}
        bearer = {"Authorization": f"Bearer {self.tokens.access_token}"}
        return {
            "refresh": lambda: rp.post("/oauth2/token", **refresh),
            "client credentials": lambda: rp.post("/oauth2/token", grant_type="client_credentials"),
            "introspection": lambda: rp.post("/oauth2/introspect", token=self.tokens.access_token),
            "userinfo": lambda: self.provider.get("/oauth2/userinfo", headers=bearer),
            "revocation": lambda: rp.post("/oauth2/revoke", token=self.tokens.refresh_token),
            "authorize": lambda: browser.get(rp.address()),
            "account": lambda: browser.get("/account/sessions"),
            "logout": lambda: browser.get(f"/oauth2/logout?id_token_hint={self.tokens.id_token}"),
        }


PROGRAMS = {"refresh", "client credentials", "introspection", "userinfo", "revocation"}


@pytest.fixture
def _without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes next after a silence finds out at once whether it is over."""
    monkeypatch.setattr("idp.db.silence.PAUSE_SECONDS", 0)


@pytest.fixture
def scene(behind_proxy: Provider, hand_clock: HandClock) -> Scene:
    provider = behind_proxy
    provider.keys("RS256")
    provider.person("ada")
    rp = provider.relying_party(backchannel_logout_uri=LOGOUT)
    browser = provider.visitor()
    tokens = rp.sign_in(browser)
    hand_clock.advance(seconds=11)
    return Scene(provider, rp, browser, tokens)


def is_unavailable(name: str, response: TestResponse) -> None:
    assert response.status_code == 503, (name, response.status_code)
    assert response.headers["Retry-After"] == "5"
    assert "Location" not in response.headers
    if name in PROGRAMS:
        assert response.get_json()["error"] == "temporarily_unavailable", name
    else:
        assert "Not available just now" in Page(response.text).text, name


def nothing_has_changed(scene: Scene) -> None:
    heart = scene.provider.heart
    assert heart.all(Session, Session.ended_at.is_not(None)) == []
    assert heart.all(LogoutDelivery) == []
    (family,) = heart.all(TokenFamily, TokenFamily.user_id.is_not(None))
    assert (family.generation, family.revoked_at) == (1, None)


def everything_works_again(scene: Scene) -> None:
    requests = scene.requests()
    answer = requests["refresh"]()
    assert answer.status_code == 200, answer.text
    scene.tokens = Tokens(answer)
    assert scene.requests()["introspection"]().get_json()["active"] is True
    left = requests["logout"]()
    assert left.status_code == 303
    assert urlsplit(left.location or "").path.startswith("/signed-out")
    assert len(scene.provider.heart.all(LogoutDelivery)) == 1
    assert scene.rp.refresh(scene.tokens).error == "invalid_grant"


def test_without_a_database_everything_is_503_and_works_again_when_it_is_back(
    scene: Scene, proxy: PostgresProxy
) -> None:
    proxy.go_away()

    for _ in range(2):  # with connections that are broken, then with none
        for name, request in scene.requests().items():
            is_unavailable(name, request())

    nothing_has_changed(scene)
    proxy.come_back()
    everything_works_again(scene)


def test_a_database_that_was_restarted_while_nobody_asked_refuses_nobody(scene: Scene, proxy: PostgresProxy) -> None:
    """What every process kept from before is dead: noticed before anything is sent, so that nothing is asked twice."""
    requests = scene.requests()
    with ThreadPoolExecutor(len(requests)) as pool:  # so that there are several connections
        for answer in [pool.submit(requests[name]) for name in ("introspection", "userinfo", "account", "authorize")]:
            assert answer.result().status_code < 500

    proxy.go_away()
    proxy.come_back()

    everything_works_again(scene)


@pytest.mark.usefixtures("_without_pause")
def test_a_database_that_hangs_costs_each_request_a_bounded_time_and_nothing_else(
    proxy: PostgresProxy, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.web.services.REQUEST_SECONDS", 0.5)
    monkeypatch.setattr("idp.db.engine.BUSY_TIMEOUT_SECONDS", 2)
    scene: Scene = request.getfixturevalue("scene")
    never = threading.Timer(HANGS_AFTER_SECONDS, proxy.flow)  # so that a failure ends too
    never.start()
    requests = scene.requests()

    proxy.hang()
    began = time.monotonic()
    with ThreadPoolExecutor(len(requests)) as pool:
        for _ in range(2):  # on connections that were open; then one tries a new one, and the others are told
            answers = {name: pool.submit(one) for name, one in requests.items()}
            for name, answer in answers.items():
                is_unavailable(name, answer.result())
    lasted = time.monotonic() - began

    never.cancel()
    assert lasted < HANGS_AFTER_SECONDS, "they waited for the database, however long it took"
    proxy.go_away()  # what hangs on the way must not arrive after all
    nothing_has_changed(scene)
    proxy.flow()
    proxy.come_back()
    everything_works_again(scene)


def test_no_wait_for_the_database_is_longer_than_five_seconds() -> None:
    """The waits for a free connection, a new one, a lock and an answer; batch work alone waits for the server."""
    assert max(BUSY_TIMEOUT_SECONDS, REQUEST_SECONDS) < 5
    assert max(BUSY_TIMEOUT_SECONDS, REQUEST_SECONDS) <= TRY_SECONDS, "one at a time finds out whether it answers again"
    assert BUSY_TIMEOUT_SECONDS < REQUEST_SECONDS, "the server must be able to say that a lock was not to be had"
    assert BATCH_SECONDS > 30, "statement_timeout speaks first"


def numbered(database: Database, number: int) -> FixedStatement:
    """A statement that answers with this number."""
    column = literal(number, Integer()).label("number")
    return FixedStatement(select(column), (column,), database.engine.dialect)


@pytest.mark.usefixtures("_without_pause")
def test_an_answer_that_comes_too_late_is_never_taken_for_the_next_ones(proxy: PostgresProxy) -> None:
    database = Database(open_engine(proxy.url), answer_seconds=0.5)
    one, two, three = (numbered(database, number) for number in (1, 2, 3))
    with database.autocommit() as statements:
        assert statements.one_or_none(one, {}).number == 1
    proxy.hang()
    with pytest.raises(OperationalError, match="timeout"), database.autocommit() as statements:
        statements.one_or_none(two, {})
    proxy.flow()

    with database.autocommit() as statements:
        assert statements.one_or_none(three, {}).number == 3
    database.engine.dispose()


def test_a_worker_that_listens_on_a_dead_connection_listens_again(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polling goes on behind it, but without this every notice would wait for the next poll, for ever."""
    monkeypatch.setattr("idp.outbox.wake.BATCH_SECONDS", 0.5)
    monkeypatch.setattr("idp.outbox.wake._LISTENS_PER_CHECK", 1)
    woken, noticed = threading.Semaphore(0), threading.Event()
    monkeypatch.setattr("idp.outbox.wake.log", SimpleNamespace(warning=lambda *_, **__: noticed.set()))
    engine = open_engine(proxy.url)
    wake_up = WakeUp(engine, woken.release)
    wake_up.start()
    assert woken.acquire(timeout=30)

    try:
        proxy.hang()
        assert noticed.wait(timeout=HANGS_AFTER_SECONDS), "its sign of life gets no answer, and it goes on waiting"
        proxy.flow()

        assert woken.acquire(timeout=30), "it is deaf"
    finally:
        wake_up.stop()
        wake_up.join(30)
        engine.dispose()


@dataclass
class Queue:
    """Who waits where at a database that hangs. The clock stands still: nobody tries again before it is put forward."""

    proxy: PostgresProxy
    database: Database
    arrived: threading.Semaphore

    def hang(self, expected: int) -> None:
        """From now on. Nobody hears of it before so many have come."""
        silence, to_come, moment = self.database._silence, iter(range(expected)), time.monotonic()
        notice = silence.notice

        def when_all_have_come() -> None:
            for _ in to_come:
                assert self.arrived.acquire(timeout=HANGS_AFTER_SECONDS)
            notice()

        silence.notice = when_all_have_come  # type: ignore[method-assign]
        silence._clock = lambda: moment
        self.proxy.hang()

    def flow(self) -> None:
        self.proxy.flow()
        self.database._silence._clock = time.monotonic
        self.database._silence._noticed_at -= PAUSE_SECONDS

    def note_who_comes(self, holder: Any, name: str) -> None:
        """Count who is about to wait there, or does not have to."""
        work = getattr(holder, name)

        def counted(*given: Any, **named: Any) -> Any:
            self.arrived.release()
            return work(*given, **named)

        setattr(holder, name, counted)


@pytest.mark.parametrize("waits_for", ["a place", "a connection"])
def test_whoever_queued_behind_a_silent_database_is_refused_with_those_in_front_and_does_not_wait_once_more(
    proxy: PostgresProxy, waits_for: str
) -> None:
    engine = create_engine(proxy.url, **engine_options(proxy.url, 1))
    database = Database(engine, answer_seconds=0.5, ordinary=1)
    begin = database.single_reads if waits_for == "a place" else database.autocommit
    question, queue = numbered(database, 1), Queue(proxy, database, threading.Semaphore(0))

    def ask() -> str:
        try:
            with begin() as statements:
                return str(statements.one_or_none(question, {}).number)
        except (OperationalError, DatabaseBusy) as error:
            return str(error)

    assert ask() == "1"
    if waits_for == "a place":
        queue.note_who_comes(database._places._free, "acquire")
    else:
        queue.note_who_comes(engine.pool._pool, "get")  # type: ignore[attr-defined]
    queue.hang(4)

    with ThreadPoolExecutor(4) as pool:
        answers = [answer.result() for answer in [pool.submit(ask) for _ in range(4)]]
    queue.flow()

    assert answers.count("the database does not answer") == 3, answers
    assert ask() == "1", "and whoever comes when it is back is served"
    engine.dispose()


def test_whoever_waited_while_others_could_not_connect_does_not_try_as_long_once_more(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.db.engine.BUSY_TIMEOUT_SECONDS", 2)
    engine = create_engine(proxy.url, **{**engine_options(proxy.url, 1), "pool_timeout": 3})
    database = Database(engine, answer_seconds=0.5)
    queue = Queue(proxy, database, threading.Semaphore(0))
    queue.note_who_comes(engine.pool._pool, "get")  # type: ignore[attr-defined]
    queue.hang(2)

    def ask() -> str:
        try:
            with database.transaction() as tx:
                return str(tx.scalar(select(literal(1))))
        except (OperationalError, DatabaseBusy, PoolTimeout) as error:
            return type(error).__name__

    with ThreadPoolExecutor(2) as pool:
        answers = [answer.result() for answer in [pool.submit(ask), pool.submit(ask)]]
    queue.flow()

    assert answers.count("OperationalError") == 1, answers
    assert ask() == "1"
    engine.dispose()


def test_whoever_waited_for_a_thread_is_refused_at_once_and_does_not_wait_for_the_database_too(
    proxy: PostgresProxy,
) -> None:
    """All threads hang, and more requests wait for one than there are: they would hang one after the other."""
    engine = create_engine(proxy.url, **engine_options(proxy.url, 3))
    database = Database(engine, answer_seconds=0.5)
    question, queue = numbered(database, 1), Queue(proxy, database, threading.Semaphore(0))
    queue.note_who_comes(engine.pool, "lend")

    def ask() -> str:
        try:
            with database.autocommit() as statements:
                return str(statements.one_or_none(question, {}).number)
        except (OperationalError, DatabaseBusy) as error:
            return type(error).__name__

    with ThreadPoolExecutor(3) as threads:
        assert {answer.result() for answer in [threads.submit(ask) for _ in range(3)]} == {"1"}
        while queue.arrived.acquire(blocking=False):
            pass
        queue.hang(3)
        answers = [answer.result() for answer in [threads.submit(ask) for _ in range(30)]]
    queue.flow()

    assert answers.count("OperationalError") == 3, answers
    assert answers.count("DatabaseBusy") == 27, answers
    assert ask() == "1"
    engine.dispose()
