"""`receivers`: applications that receive back-channel logout notices over real HTTP, and answer as a test asks.

`services`: what the worker needs, over the test's database, with the hand clock and permission to reach the receivers.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

import pytest

from idp.keys import ensure_keys
from idp.web.services import Services, build_services
from tests.support.heart import Heart


class Receiver:
    """One application. `statuses` are given in turn, the last one for ever; one that `hangs` answers nothing."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None, hangs: bool = False) -> None:
        self.statuses = list(statuses or (200,))
        self.headers = headers or {}
        self.bodies: list[bytes] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.most_at_once = 0
        self.arrived = threading.Semaphore(0)
        self.may_answer = threading.Event()
        if not hangs:
            self.may_answer.set()
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.uri = f"http://127.0.0.1:{self.port}/backchannel-logout"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def tokens(self) -> list[str]:
        """The logout tokens received so far; fails on any request that isn't exactly one."""
        found = []
        for body in self.bodies:
            form = parse_qs(body.decode("ascii"), strict_parsing=True)
            assert list(form) == ["logout_token"]
            assert len(form["logout_token"]) == 1
            found.append(form["logout_token"][0])
        return found

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._enter(self.command, self.path, dict(self.headers.items()), body)
                receiver.may_answer.wait(30)
                with receiver._lock:
                    receiver._at_once -= 1
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):  # the sender's deadline was over
                    super().handle()

            def finish(self) -> None:
                with suppress(OSError, ValueError):
                    super().finish()

        return Handler

    def _enter(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.bodies.append(body)
            self.requests.append((method, path, headers))
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.arrived.release()
        return status


Receivers = Callable[..., Receiver]


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """Starts receivers; all stop when the test ends."""
    with ExitStack() as stack:

        def start(*statuses: int, **options: Any) -> Receiver:
            return stack.enter_context(Receiver(*statuses, **options))

        yield start


@pytest.fixture
def open_services(heart: Heart) -> Iterator[Callable[..., Services]]:
    """Opens the services of one more process. Receivers on any port of 127.0.0.1 must be named: `allow=[receiver]`."""
    opened: list[Services] = []

    def open_once_more(*, allow: list[Receiver] | None = None, **changes: Any) -> Services:
        entries = tuple(f"127.0.0.1:{receiver.port}" for receiver in allow or [])
        settings = heart.settings.model_copy(update={"outbound_allow": entries, **changes})
        services = build_services(settings, clock=heart.clock)
        opened.append(services)
        with services.database.transaction() as tx:
            ensure_keys(tx, keyring=services.keyring, now=heart.now)
        return services

    yield open_once_more
    for services in opened:
        services.database.engine.dispose()
