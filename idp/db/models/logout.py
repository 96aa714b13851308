"""Why and when sessions ended, and one delivery per application to tell: the transactional outbox of logout."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base, closed_enum
from idp.db.types import Identifier


class DeliveryState(StrEnum):
    """What became of a notice. "Told" means that the RP answered 2xx; its own logout cannot be proved."""

    PENDING = "pending"
    TOLD = "told"
    REFUSED = "refused"
    GAVE_UP = "gave_up"
    CANNOT_BE_TOLD = "cannot_be_told"


class LogoutEvent(Base):
    """One act that ended sessions or participations, and the receipt for it."""

    __tablename__ = "logout_events"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    reason: Mapped[str] = mapped_column(String(32))
    # The browser session that did it, if any, and the client that asked for it, if any.
    actor_session_id: Mapped[str | None] = mapped_column(String(26))
    initiating_client_id: Mapped[str | None] = mapped_column(String(64))
    browsers_ended: Mapped[int] = mapped_column(Integer, default=0)
    apps_ended: Mapped[int] = mapped_column(Integer, default=0)
    # The moment at which the last access token of what ended dies; null when none was alive.
    access_expires_at: Mapped[datetime | None]
    receipt_hash: Mapped[bytes | None]
    receipt_browser_hash: Mapped[bytes | None]
    receipt_expires_at: Mapped[datetime | None]
    occurred_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_logout_events_user_id", "user_id", "occurred_at"),
        Index("ix_logout_events_occurred_at", "occurred_at"),
    )


class LogoutDelivery(Base):
    """One notice to one client about one participation: a snapshot, so that a client changed later doesn't matter."""

    __tablename__ = "logout_deliveries"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("logout_events.id"))
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    client_name: Mapped[str]
    # Null: the client registered no back-channel address and cannot be told.
    uri: Mapped[str | None]
    # Front-channel: what the browser that signed out was asked to open. Best effort; no state can be known of it.
    frontchannel_uri: Mapped[str | None]
    host: Mapped[str] = mapped_column(default="")
    operator_registered: Mapped[bool]
    audience: Mapped[str]
    sub: Mapped[str]
    sid: Mapped[str]
    algorithm: Mapped[str] = mapped_column(String(16))
    # What the claim `logout_reason` will say; null for clients that did not ask for it.
    logout_reason: Mapped[str | None] = mapped_column(String(32))
    # `toe` of the logout token: when the session ended.
    ended_at: Mapped[datetime]
    state: Mapped[DeliveryState] = mapped_column(closed_enum(DeliveryState, "state"))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    refusals: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    last_attempt_at: Mapped[datetime | None]
    # For operators only: never shown to people (design §7).
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_failure: Mapped[str | None]
    settled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled_unless_pending"),
        Index("ix_logout_deliveries_event_id", "event_id"),
        Index("ix_logout_deliveries_session_id", "session_id"),
        Index("ix_logout_deliveries_client_id", "client_id"),
        Index("ix_logout_deliveries_of_client", "client_id", "created_at", "id"),
        Index(
            "ix_logout_deliveries_dead",
            "settled_at",
            "id",
            sqlite_where=text("state IN ('refused', 'gave_up')"),
            postgresql_where=text("state IN ('refused', 'gave_up')"),
        ),
        Index(
            "ix_logout_deliveries_due",
            "next_attempt_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
    )
