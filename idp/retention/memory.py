"""What a node remembers of its database, to notice that it went back in time: a restored back-up, a lost fail-over.

Design §5 wants `idp db restored` before a restored database serves. A database can't tell by itself that it was
restored, so each node keeps the newest audit row that it saw, in a file in `IDP_VAR_DIR` (no secret: an identifier and
a moment). The trail is only ever added to (I18) and purged from its old end: when that row is gone, the database is
older than the node remembers. What this does not notice is in docs/adr/0011.
"""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from idp.db.engine import Tx
from idp.db.models import AuditEvent
from idp.settings import Settings

FILE = "last-seen.json"
RESTORED = "database_restored"


@dataclass(frozen=True)
class Seen:
    """The newest row of the audit trail at some time."""

    event_id: str
    at: datetime


def find_newest(tx: Tx) -> Seen | None:
    """The newest row now; None in a new database."""
    row = tx.execute(
        select(AuditEvent.id, AuditEvent.occurred_at).order_by(AuditEvent.occurred_at.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Seen(row.id, row.occurred_at)


def has_gone_back(tx: Tx, seen: Seen, *, settings: Settings, now: datetime) -> bool:
    """Whether the database has lost what was seen, and nobody has run `idp db restored` since."""
    if seen.at < now - settings.audit_lifetime:
        return False  # old enough to be purged: its absence says nothing
    if tx.scalars(select(AuditEvent.id).where(AuditEvent.id == seen.event_id)).one_or_none() is not None:
        return False
    made_safe = select(AuditEvent.id).where(AuditEvent.kind == RESTORED, AuditEvent.occurred_at >= seen.at).limit(1)
    return tx.scalars(made_safe).one_or_none() is None


def recall(settings: Settings) -> Seen | None:
    """What this node remembers; None when it remembers nothing, or nothing that can be read."""
    try:
        kept = json.loads((settings.var_dir / FILE).read_text())
        return Seen(str(kept["event"]), datetime.fromisoformat(kept["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(settings: Settings, seen: Seen) -> None:
    """Keep it for later, also across restarts. Raises OSError when the folder can't be written."""
    settings.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = settings.var_dir / f".{FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        temporary.write_text(json.dumps({"event": seen.event_id, "at": seen.at.isoformat()}))
        temporary.replace(settings.var_dir / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def forget(var_dir: Path) -> None:
    """For a database that was just made: nothing was seen of it yet. Raises OSError when what is there can't go."""
    file = var_dir / FILE
    if file.exists():  # a read-only folder refuses to delete even what isn't there
        file.unlink(missing_ok=True)
