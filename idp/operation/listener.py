"""`MetricsListener`: metrics on an address of their own, answered by a thread of the process that watches over others.

For networks where the public listener must not know metrics at all. It serves one path and one method, reads no body,
holds a slow client for seconds at most, and goes on answering when every thread of the web server is busy.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, getaddrinfo

import structlog

from idp.kit.metrics import CONTENT_TYPE
from idp.kit.opaque import Secret
from idp.operation.exposition import Render, may_read

CLIENT_SECONDS = 10

log = structlog.get_logger(__name__)


class MetricsListener:
    """Listens from the moment it is made, answers from `start` on. Raises `OSError` when it can't listen."""

    def __init__(self, address: tuple[str, int], render: Render, token: Secret | None) -> None:
        self._server = _server_for(address)(address, _handler(render, token))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(CLIENT_SECONDS)
        self._server.server_close()


def _server_for(address: tuple[str, int]) -> type[ThreadingHTTPServer]:
    found = getaddrinfo(*address)[0][0]

    class Server(ThreadingHTTPServer):
        address_family = found if found == AF_INET6 else ThreadingHTTPServer.address_family
        daemon_threads = True

        def handle_error(self, _request: object, _client: object) -> None:
            log.info("metrics_connection_failed")

    return Server


def _handler(render: Render, token: Secret | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_SECONDS
        server_version, sys_version = "idp", ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self._answer(404, b"There is only /metrics here.\n", "text/plain")
            elif not may_read(self.headers.get("Authorization"), token):
                self._answer(401, b"", "text/plain")
            else:
                self._answer(200, render(), CONTENT_TYPE)

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            if status == 401:
                self.send_header("WWW-Authenticate", 'Bearer realm="metrics"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - the library's name
            """No line per scrape, and none with what a stranger sent."""

    return Handler
