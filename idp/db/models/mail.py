"""Mail to people, waiting to be sent: written in the commit that it tells of, sent by the worker."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base, closed_enum
from idp.db.types import Identifier


class MailState(StrEnum):
    """What became of a message. "Sent" means that the mail server took it; nobody can know that it was read."""

    PENDING = "pending"
    SENT = "sent"
    GAVE_UP = "gave_up"


class MailMessage(Base):
    """One message, complete, as it will be sent: a name or address changed later does not change what is on its way."""

    __tablename__ = "mail_messages"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str] = mapped_column(String(32))
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str]
    body: Mapped[str]
    state: Mapped[MailState] = mapped_column(closed_enum(MailState, "state"))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime]
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    last_failure: Mapped[str | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled_unless_pending"),
        Index("ix_mail_messages_user_id", "user_id", "created_at"),
        Index(
            "ix_mail_messages_settled_at",
            "settled_at",
            sqlite_where=text("settled_at IS NOT NULL"),
            postgresql_where=text("settled_at IS NOT NULL"),
        ),
        Index(
            "ix_mail_messages_due",
            "next_attempt_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
    )
