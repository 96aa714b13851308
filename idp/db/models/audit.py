"""The audit trail: one row per security-relevant commit, written in that commit (I18)."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base
from idp.db.types import Identifier


class AuditEvent(Base):
    """What happened, to whom, through which client and session. Holds no secret and no token."""

    __tablename__ = "audit_events"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    occurred_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(64))
    # No foreign keys: the trail outlives what it speaks of.
    user_id: Mapped[str | None] = mapped_column(Identifier())
    client_id: Mapped[str | None] = mapped_column(String(64))
    session_id: Mapped[str | None] = mapped_column(Identifier())
    actor: Mapped[str] = mapped_column(String(64), default="")
    ip_address: Mapped[str] = mapped_column(String(64), default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    __table_args__ = (
        Index("ix_audit_events_user_id", "user_id", "occurred_at"),
        # The order of a person's history: keyset pages need the identifier too, many rows may share a moment.
        Index("ix_audit_events_history", "user_id", "occurred_at", "id"),
        Index("ix_audit_events_occurred_at", "occurred_at"),
    )
