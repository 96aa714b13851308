"""One-time things: stored as hashes, claimed by `UPDATE … WHERE used_at IS NULL` and a row count (design §2.8)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base, closed_enum
from idp.db.types import Identifier, Words


class AuthorizationCode(Base):
    """An authorization code (RFC 6749 §4.1.2), bound to client, session, redirect, PKCE challenge and epoch."""

    __tablename__ = "authorization_codes"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    secret_hash: Mapped[bytes]
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"))
    user_epoch: Mapped[int]
    # Null: written by a version that knew of no epoch of clients.
    client_epoch: Mapped[int | None]
    redirect_uri: Mapped[str]
    # False when the request had none and the client has just one: then the token request need not repeat it.
    redirect_uri_was_sent: Mapped[bool] = mapped_column(default=True)
    scope: Mapped[tuple[str, ...]] = mapped_column(Words)
    resources: Mapped[list[str]] = mapped_column(JSON)
    claims_request: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    nonce: Mapped[str | None]
    code_challenge: Mapped[str | None] = mapped_column(String(128))
    sender_constraint_key: Mapped[str | None] = mapped_column(String(64))
    # What the person saw when they approved: the app session made from this code is named after it.
    device_name: Mapped[str] = mapped_column(default="")
    os_name: Mapped[str] = mapped_column(default="")
    agent_name: Mapped[str] = mapped_column(default="")
    ip_address: Mapped[str] = mapped_column(String(64), default="")
    auth_time: Mapped[datetime]
    amr: Mapped[list[str]] = mapped_column(JSON)
    acr: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    # The family that the first redemption gave: a second redemption revokes it (RFC 6749 §4.1.2).
    family_id: Mapped[str | None] = mapped_column(ForeignKey("token_families.id"))

    __table_args__ = (
        Index("ix_authorization_codes_session_id", "session_id"),
        Index("ix_authorization_codes_client_id", "client_id"),
        Index("ix_authorization_codes_expires_at", "expires_at"),
        # For deleting families: each asks whether a code refers to it.
        Index(
            "ix_authorization_codes_family_id",
            "family_id",
            sqlite_where=text("family_id IS NOT NULL"),
            postgresql_where=text("family_id IS NOT NULL"),
        ),
    )


class StoredRequestKind(StrEnum):
    """Which endpoint a stored request was sent to."""

    AUTHORIZE = "authorize"
    LOGOUT = "logout"


class StoredRequest(Base):
    """A request put aside while a person answers a page, or because it came by a cross-site POST without a cookie.

    Bound to the browser that brought it, and to one use: a login, consent or logout answer for it counts once.
    """

    __tablename__ = "stored_requests"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    kind: Mapped[StoredRequestKind] = mapped_column(closed_enum(StoredRequestKind, "kind"))
    secret_hash: Mapped[bytes]
    # Hash of the browser's binding cookie; null until the first same-site GET brought one.
    browser_hash: Mapped[bytes | None]
    client_id: Mapped[str | None] = mapped_column(ForeignKey("clients.id"))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_stored_requests_expires_at", "expires_at"),
        Index("ix_stored_requests_client_id", "client_id"),
    )
