"""Signing keys: published before use, kept for verification after it, the private part sealed."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base


class SigningKey(Base):
    """One key pair. `kid` is its RFC 7638 thumbprint."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(16))
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSON)
    private_key_sealed: Mapped[bytes]
    created_at: Mapped[datetime]
    # In the JWKS from `created_at`, signing from `activates_at` until `retired_at`, published until `unpublished_at`.
    activates_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    unpublished_at: Mapped[datetime | None]
    # From this moment it verifies nothing at all.
    compromised_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_signing_keys_algorithm", "algorithm", "activates_at"),)
