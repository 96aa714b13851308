"""As much of SMTP as a program needs to hand in mail: no log-in, no encryption, no sending on, this machine only.

RFC 5321's minimum (§4.5.1) with SIZE (RFC 1870). Every wait and every length has a bound, so that nobody who talks to
it can hold it up or fill it.
"""

import re
import socketserver

from examples.mail_catcher.folder import MailFolder

LONGEST_MESSAGE = 1_000_000  # octets
LONGEST_LINE = 1000  # RFC 5321 §4.5.3.1.6, with its end
MOST_RECIPIENTS = 100
MOST_COMMANDS = 1000
SECONDS = 60

_ADDRESS = re.compile(r"(?:FROM|TO):\s*<([^<>\s]*)>(?: .*)?", re.IGNORECASE)


class Receiver(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1 alone."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, folder: MailFolder) -> None:
        self.folder = folder
        super().__init__(("127.0.0.1", port), _Conversation)


class TooLong(Exception):
    """A line or a message is over its bound."""


class _Conversation(socketserver.StreamRequestHandler):
    timeout = SECONDS
    server: Receiver

    def handle(self) -> None:
        self._has_sender = False
        self._recipients = 0
        try:
            self._say(220, "mail catcher")
            for _ in range(MOST_COMMANDS):
                if not self._answer(self._line().decode("ascii", "replace").strip()):
                    return
            self._say(421, "That is enough for one connection")
        except TooLong:
            self._say(500, "Line too long")
        except (OSError, EOFError):
            return  # gone, or too slow

    def _answer(self, line: str) -> bool:
        """One command. False: the conversation is over."""
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO":
                self.wfile.write(f"250-mail catcher\r\n250-8BITMIME\r\n250 SIZE {LONGEST_MESSAGE}\r\n".encode())
            case "HELO" | "NOOP":
                self._say(250, "Fine")
            case "RSET":
                self._forget()
                self._say(250, "Forgotten")
            case "MAIL":
                self._sender(rest)
            case "RCPT":
                self._recipient(rest)
            case "DATA":
                return self._data()
            case "QUIT":
                self._say(221, "Goodbye")
                return False
            case _:
                self._say(502, "Not known here")
        return True

    def _sender(self, rest: str) -> None:
        if not rest.upper().startswith("FROM:") or not _ADDRESS.fullmatch(rest):
            self._say(501, "Write MAIL FROM:<address>")
        elif self._has_sender:
            self._say(503, "One message after the other")
        else:
            self._has_sender = True
            self._say(250, "Fine")

    def _recipient(self, rest: str) -> None:
        found = _ADDRESS.fullmatch(rest) if rest.upper().startswith("TO:") else None
        if found is None or not found.group(1):
            self._say(501, "Write RCPT TO:<address>")
        elif not self._has_sender:
            self._say(503, "MAIL comes first")
        elif self._recipients >= MOST_RECIPIENTS:
            self._say(452, "Too many recipients")
        else:
            self._recipients += 1
            self._say(250, "Fine")

    def _data(self) -> bool:
        if not self._recipients:
            self._say(503, "RCPT comes first")
            return True
        self._say(354, "End with a dot on a line of its own")
        content = bytearray()
        while (line := self._line()) != b".\r\n":
            # RFC 5321 §4.5.2: a dot at the start of a line was doubled on its way.
            content += line.removeprefix(b".")
            if len(content) > LONGEST_MESSAGE:
                # Not read to its end: that could take for ever. RFC 5321 §3.8 allows to hang up.
                self._say(552, "Message too long")
                return False
        self._forget()
        try:
            self.server.folder.save(bytes(content))
        except OSError as trouble:
            self._say(452, f"Can't be kept: {trouble.strerror}")
        else:
            self._say(250, "Caught")
        return True

    def _forget(self) -> None:
        self._has_sender, self._recipients = False, 0

    def _line(self) -> bytes:
        line = self.rfile.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise TooLong
        if not line.endswith(b"\n"):
            raise EOFError
        return line

    def _say(self, code: int, words: str) -> None:
        self.wfile.write(f"{code} {words}\r\n".encode())
