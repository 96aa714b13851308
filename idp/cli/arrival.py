"""How much of a request has arrived: all of it, a part, or more than any request of ours has (RFC 9112 §§2, 6, 7.1).

Only decides when a thread may begin (`idp.cli.gunicorn_worker`); what the bytes mean is for gunicorn's parser, to
which everything malformed goes at once, for its 400. No thread reads from the network, so where the two should ever
disagree the connection closes: neither waits for the other.
"""

import re
from enum import StrEnum

from idp.web.limits import MAXIMUM_BODY

# gunicorn's `--limit-request-line`: a longer one goes to the parser, which answers 414.
REQUEST_LINE = 8190
HEAD = 64 * 1024
# Chunks of one byte weigh six.
CHUNKED = 8 * MAXIMUM_BODY

_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_SIZE = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?")


class Stage(StrEnum):
    """What can be done with what is here."""

    PARTIAL = "partial"
    WHOLE = "whole"  # whole, or surely refused by whom it is given to
    HEAD_TOO_LARGE = "head too large"
    BODY_TOO_LARGE = "body too large"


class Arrival:
    """The bytes of one request (and what its sender put behind it), as they come in."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.expects_continue = False
        self._head: int | None = None  # where the head ends
        self._length: int | None = None  # of the body; None: chunked
        self._chunk = 0  # where the first chunk begins that was not here yet
        self._content = 0  # what the chunks before it hold

    def add(self, data: bytes) -> Stage:
        """Take what came. Looks at each byte a bounded number of times, however small the pieces are."""
        searched = max(0, len(self.data) - 3)
        self.data += data
        if self._head is None:
            end = self.data.find(b"\r\n\r\n", searched)
            if end < 0:
                return self._without_head()
            if end > HEAD:
                return Stage.HEAD_TOO_LARGE
            self._head = self._chunk = end + 4
            self._read_framing(bytes(self.data[: end + 2]))
        if self._length is None:
            return self._after_chunks()
        return Stage.WHOLE if len(self.data) - self._head >= self._length else Stage.PARTIAL

    def _without_head(self) -> Stage:
        if len(self.data) > REQUEST_LINE + 2 and self.data.find(b"\r\n", 0, REQUEST_LINE + 2) < 0:
            return Stage.WHOLE
        return Stage.HEAD_TOO_LARGE if len(self.data) > HEAD else Stage.PARTIAL

    def _read_framing(self, head: bytes) -> None:
        """How long the body is. Zero as well where there is nothing to wait for, because it will be refused."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in _FRAMING.findall(head):
            found.setdefault(name.lower(), []).append(value.lower())
        lengths, codings = found.get(b"content-length", []), found.get(b"transfer-encoding", [])
        self._length = 0
        if codings == [b"chunked"] and not lengths:
            self._length = None
        elif len(lengths) == 1 and not codings and _SIZE.fullmatch(lengths[0]) and int(lengths[0]) <= MAXIMUM_BODY:
            self._length = int(lengths[0])
        # RFC 9110 §10.1.1: whose body would be too large hears that instead of "100 Continue".
        self.expects_continue = found.get(b"expect") == [b"100-continue"] and self._length != 0

    def _after_chunks(self) -> Stage:
        """RFC 9112 §7.1: size, content, size, content, …, 0, trailers, an empty line."""
        while (line_end := self.data.find(b"\r\n", self._chunk)) >= 0:
            line = _CHUNK_SIZE.fullmatch(self.data, self._chunk, line_end)
            if line is None:
                return Stage.WHOLE
            size = int(line[1], 16)
            if size == 0:
                ended = self.data.find(b"\r\n\r\n", line_end) >= 0
                return Stage.WHOLE if ended else self._unless_too_large()
            here = len(self.data) - line_end - 2
            # Not left to Werkzeug, which would cut a body without Content-Length off at its maximum, and go on.
            if self._content + min(size, here) > MAXIMUM_BODY:
                return Stage.BODY_TOO_LARGE
            if here < size + 2:
                return Stage.PARTIAL
            self._chunk = line_end + 2 + size + 2
            self._content += size
        return self._unless_too_large()

    def _unless_too_large(self) -> Stage:
        return Stage.BODY_TOO_LARGE if len(self.data) > CHUNKED else Stage.PARTIAL
