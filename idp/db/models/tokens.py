"""Token families: one small row for everything issued from one redemption, updated for ever, never multiplied."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base, closed_enum
from idp.db.types import Identifier, Words


class GrantType(StrEnum):
    """What a family was redeemed from (RFC 6749 §4.1, §4.4; RFC 8628)."""

    AUTHORIZATION_CODE = "authorization_code"
    CLIENT_CREDENTIALS = "client_credentials"
    DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class TokenFamily(Base):
    """Generation state of a refresh token, and what its access tokens may do.

    No column that changes on rotation (generation, parent_generation, rotated_at, access_expires_at, last_used_at) is
    in an index, and pages are left half empty: on PostgreSQL every rotation is a HOT update, and the table keeps its
    size.
    """

    __tablename__ = "token_families"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    # Null only for client credentials.
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    session_id: Mapped[str | None] = mapped_column(ForeignKey("sessions.id"))
    session_client_id: Mapped[str | None] = mapped_column(ForeignKey("session_clients.id"))
    grant_type: Mapped[GrantType] = mapped_column(closed_enum(GrantType, "grant_type"))
    # Null: the family has no refresh token.
    secret_hash: Mapped[bytes | None]
    generation: Mapped[int] = mapped_column(default=1)
    parent_generation: Mapped[int | None]
    rotated_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime]
    # The `exp` of the latest access token handed out: the moment at which an end is really over.
    access_expires_at: Mapped[datetime]
    scope: Mapped[tuple[str, ...]] = mapped_column(Words)
    resources: Mapped[list[str]] = mapped_column(JSON)
    claims_request: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    # Of the authorization: a refresh never changes them (OIDC Core §12.2).
    auth_time: Mapped[datetime | None]
    amr: Mapped[list[str]] = mapped_column(JSON, default=list)
    acr: Mapped[str | None]
    # JWK or certificate thumbprint the tokens are bound to (RFC 9449 §6.1, RFC 8705 §3.1).
    sender_constraint_key: Mapped[str | None] = mapped_column(String(64))
    # Place in a Token Status List, when one is published.
    status_index: Mapped[int | None]
    started_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoke_reason: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (
        CheckConstraint("generation >= 1", name="generation_from_one"),
        CheckConstraint("parent_generation IS NULL OR parent_generation < generation", name="parent_is_older"),
        CheckConstraint(
            "(user_id IS NULL) = (grant_type = 'client_credentials')", name="user_unless_client_credentials"
        ),
        CheckConstraint("(user_id IS NULL) = (session_id IS NULL)", name="session_with_user"),
        CheckConstraint("(user_id IS NULL) = (session_client_id IS NULL)", name="participation_with_user"),
        CheckConstraint("(revoked_at IS NULL) = (revoke_reason IS NULL)", name="revoked_with_reason"),
        Index("ix_token_families_session_id", "session_id"),
        Index("ix_token_families_session_client_id", "session_client_id"),
        Index("ix_token_families_client_id", "client_id"),
        # Those that no session takes with it when it is purged. Neither column ever changes: updates stay HOT.
        Index(
            "ix_token_families_without_user",
            "started_at",
            sqlite_where=text("user_id IS NULL"),
            postgresql_where=text("user_id IS NULL"),
        ),
        # To purge by. A rotation never changes it, and a revoked family is never rotated.
        Index(
            "ix_token_families_revoked_at",
            "revoked_at",
            sqlite_where=text("revoked_at IS NOT NULL"),
            postgresql_where=text("revoked_at IS NOT NULL"),
        ),
        Index(
            "uq_token_families_status_index",
            "status_index",
            unique=True,
            sqlite_where=text("status_index IS NOT NULL"),
            postgresql_where=text("status_index IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": "60"}},
    )


class DeniedAccessToken(Base):
    """One access token revoked before its end (RFC 7009): its `jti` is refused at our endpoints until `exp`."""

    __tablename__ = "denied_access_tokens"

    jti: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime]
    denied_at: Mapped[datetime]

    __table_args__ = (Index("ix_denied_access_tokens_expires_at", "expires_at"),)
