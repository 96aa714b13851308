"""Caught messages as files of a folder, one each, readable by their owner only: mail is private, even to alice.

Keeps the newest `KEPT` messages, so that a demo left running fills no disk. What it can't read it shows as such.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

KEPT = 200


@dataclass(frozen=True)
class Caught:
    """A message as the page shows it. `name` is that of its file; `at` is when it came, not what it says itself."""

    name: str
    at: datetime
    recipient: str
    sender: str
    subject: str
    text: str


class MailFolder:
    """Writes and reads the files. Several threads may use it at once."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path

    def save(self, content: bytes) -> str:
        """Keep a message as it came. Returns the name of its file. Raises OSError when that can't be written."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}.eml"
        # Renamed when it is whole: the page must not show half a message.
        draft = self._path / f".{name}"
        draft.touch(mode=0o600)
        draft.write_bytes(content)
        draft.replace(self._path / name)
        for old in self._names()[KEPT:]:
            (self._path / old).unlink(missing_ok=True)
        return name

    def newest_first(self) -> list[Caught]:
        """Every message that is kept."""
        found = []
        for name in self._names():
            try:
                found.append(_read(name, (self._path / name).read_bytes()))
            except FileNotFoundError:  # a newer one took its place meanwhile
                continue
        return found

    def _names(self) -> list[str]:
        return sorted((path.name for path in self._path.glob("[0-9]*Z-*.eml")), reverse=True)


def _read(name: str, content: bytes) -> Caught:
    try:
        at = datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:  # somebody else's file
        at = datetime.fromtimestamp(0, UTC)
    message = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
    return Caught(
        name=name,
        at=at,
        recipient=_header(message, "To"),
        sender=_header(message, "From"),
        subject=_header(message, "Subject") or "(no subject)",
        text=_text(message),
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, "")).strip()
    except (ValueError, IndexError, AttributeError):  # what Python's parser raises on odd headers
        return "(not readable)"


def _text(message: EmailMessage) -> str:
    try:
        body = message.get_body(preferencelist=("plain",))
        return str(body.get_content()).replace("\r\n", "\n") if body is not None else "(no plain text)"
    except (LookupError, ValueError, AttributeError):
        return "(not readable)"
