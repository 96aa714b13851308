"""What a person is shown of each of their sessions, live or over, on every page: which machine, which app, when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp.db.models import SessionKind


@dataclass(frozen=True)
class SeenSession:
    """One session. Browsers have an `agent_name`; apps a `client_name`, and a `device_name` and a `label` if given."""

    session_id: str
    kind: SessionKind
    device_name: str
    os_name: str
    agent_name: str
    label: str
    client_name: str | None
    ip_address: str
    started_at: datetime
    last_active_at: datetime


def seen_fields(session: Any, *, client_name: str | None, used_at: datetime | None = None) -> dict[str, Any]:
    """Those of `SeenSession`, from a session or a row with its columns. `used_at`: when a token of it was, last."""
    return {
        "session_id": session.id,
        "kind": session.kind,
        "device_name": session.device_name,
        "os_name": session.os_name,
        "agent_name": session.agent_name,
        "label": session.label,
        "client_name": client_name,
        "ip_address": session.ip_address,
        "started_at": session.started_at,
        "last_active_at": max(session.last_active_at, used_at or session.last_active_at),
    }
