"""The page on which caught mail is read: one address, nothing to send to it, nothing loaded from elsewhere.

A message is whatever its sender wrote, so it is shown as text; and only somebody who asks for this machine by its own
name gets it, so that no web page out there can read it by pointing a name of its own here (DNS rebinding).
"""

import re
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from examples.mail_catcher.folder import Caught, MailFolder

SECONDS = 30
_STYLE = Path(__file__).with_name("style.css")
_LINK = re.compile(r"https?://[\w./:-]+[\w/]")


class PageServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 alone, unless told otherwise: in a container that is where nobody comes from."""

    daemon_threads = True

    def __init__(self, port: int, folder: MailFolder, *, host: str = "127.0.0.1") -> None:
        self.folder = folder
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = SECONDS
    server: PageServer

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self._send(421, "text/plain", "Ask for 127.0.0.1.")
            return
        match self.path.partition("?")[0]:
            case "/":
                self._send(200, "text/html", write_page(self.server.folder.newest_first()))
            case "/style.css":
                self._send(200, "text/css", _STYLE.read_text("utf-8"))
            case "/healthz":
                self._send(200, "text/plain", "ok")
            case _:
                self._send(404, "text/plain", "There is nothing here. The mail is at /.")

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header(
            "Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'self'; frame-ancestors 'none'"
        )
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Nothing: who looks at a page on their own machine knows it."""


def write_page(messages: list[Caught]) -> str:
    """The whole page as HTML."""
    shown = "\n".join(map(_article, messages)) if messages else _NOTHING
    return f"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Caught mail</title>
  <link rel="stylesheet" href="/style.css">
  <link rel="icon" href="data:,">
</head>
<body>
<main>
  <h1>Caught mail</h1>
  <p class="quiet">What the provider sends by mail ends here and reaches nobody. <a href="/">Look again</a></p>
{shown}
</main>
</body>
</html>
"""


_NOTHING = (
    """  <p class="empty">No mail yet. The provider writes when an old copy of a token was used, for example.</p>"""
)


def _article(message: Caught) -> str:
    text = _LINK.sub(lambda found: f'<a href="{found.group()}">{found.group()}</a>', escape(message.text.strip()))
    at = message.at
    return f"""  <article>
    <h2>{escape(message.subject)}</h2>
    <p class="quiet">To {escape(message.recipient)} from {escape(message.sender)},
      <time datetime="{at.isoformat()}">{at.day} {at:%B %Y, %H:%M:%S} UTC</time></p>
    <div class="text">{text}</div>
  </article>"""
