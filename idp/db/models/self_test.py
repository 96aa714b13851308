"""Links by which developers of applications test how those receive logout notices."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base
from idp.db.types import Identifier


class SelfTestLink(Base):
    """A link by which an RP's developer sends test notices to the RP's registered address, and sees what came back.

    Made by an operator, bound to the first browser that opens it. One test at a time: it waits from `asked_at` until a
    worker has written `answered_at`. `results` are of the latest test, and hold nothing that the RP sent but statuses.
    """

    __tablename__ = "self_test_links"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    secret_hash: Mapped[bytes]
    browser_hash: Mapped[bytes | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    tests: Mapped[int] = mapped_column(Integer, default=0)
    asked_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)

    __table_args__ = (
        Index("ix_self_test_links_expires_at", "expires_at"),
        Index("ix_self_test_links_client_id", "client_id"),
    )
