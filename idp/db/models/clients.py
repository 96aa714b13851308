"""Relying parties and applications, their secrets, and what people allowed them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base, closed_enum
from idp.db.types import Identifier, Words


class RefreshBinding(StrEnum):
    """What a client's refresh tokens hang on when `offline_access` was not granted."""

    SESSION = "session"  # the browser session: they end with it
    STANDALONE = "standalone"  # always an app session of their own


class RefreshRotation(StrEnum):
    """Whether refresh tokens rotate. OFF only for confidential or sender-constrained clients (RFC 9700 §4.14.2)."""

    ALWAYS = "always"
    OFF = "off"


class ClientOrigin(StrEnum):
    """Who registered the client; outbound allow-list entries apply to operators' clients only (design §7)."""

    OPERATOR = "operator"
    DYNAMIC = "dynamic"


class Client(Base):
    """An RP or app. Lists are compared as exact strings. Null lifetimes mean: the installation's."""

    __tablename__ = "clients"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    origin: Mapped[ClientOrigin] = mapped_column(closed_enum(ClientOrigin, "origin"), default=ClientOrigin.OPERATOR)
    is_native: Mapped[bool] = mapped_column(default=False)
    is_first_party: Mapped[bool] = mapped_column(default=False)
    token_endpoint_auth_method: Mapped[str] = mapped_column(String(32))
    grant_types: Mapped[tuple[str, ...]] = mapped_column(Words)
    response_types: Mapped[list[str]] = mapped_column(JSON)
    scopes: Mapped[tuple[str, ...]] = mapped_column(Words)
    redirect_uris: Mapped[list[str]] = mapped_column(JSON)
    post_logout_redirect_uris: Mapped[list[str]] = mapped_column(JSON)
    backchannel_logout_uri: Mapped[str | None]
    frontchannel_logout_uri: Mapped[str | None]
    frontchannel_logout_session_required: Mapped[bool] = mapped_column(default=True)
    # Opted in to the claim `logout_reason` in its logout tokens. A version before this one may still insert rows.
    wants_logout_reason: Mapped[bool] = mapped_column(default=False, server_default=false())
    requires_pkce: Mapped[bool] = mapped_column(default=True)
    id_token_signed_response_alg: Mapped[str] = mapped_column(String(16))
    userinfo_signed_response_alg: Mapped[str | None] = mapped_column(String(16))
    subject_type: Mapped[str] = mapped_column(String(16), default="public")
    sector_identifier: Mapped[str | None]
    jwks: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    jwks_uri: Mapped[str | None]
    requires_sender_constraint: Mapped[bool] = mapped_column(default=False)
    profile: Mapped[str] = mapped_column(String(16), default="oidc")
    default_resource: Mapped[str | None]
    allowed_resources: Mapped[list[str]] = mapped_column(JSON)
    # The audiences that this client is itself, as a resource server: what it may introspect (RFC 7662 §4).
    resource_identifiers: Mapped[list[str]] = mapped_column(JSON, default=list)
    logo_uri: Mapped[str | None]
    client_uri: Mapped[str | None]
    policy_uri: Mapped[str | None]
    tos_uri: Mapped[str | None]
    initiate_login_uri: Mapped[str | None]

    access_token_lifetime: Mapped[timedelta | None]
    app_idle_lifetime: Mapped[timedelta | None]
    app_absolute_lifetime: Mapped[timedelta | None]
    # For its part in a browser session; null: as long as the session lives.
    participation_idle_lifetime: Mapped[timedelta | None]
    participation_absolute_lifetime: Mapped[timedelta | None]
    app_sessions_per_client: Mapped[int | None]
    # What was authenticated before this moment is worth nothing to this client any more (`idp policy sign-in-again`).
    sign_in_again_since: Mapped[datetime | None]
    refresh_binding: Mapped[RefreshBinding] = mapped_column(closed_enum(RefreshBinding, "refresh_binding"))
    refresh_rotation: Mapped[RefreshRotation] = mapped_column(closed_enum(RefreshRotation, "refresh_rotation"))
    refresh_leeway_lifetime: Mapped[timedelta | None]
    lost_answer_lifetime: Mapped[timedelta | None]
    refresh_extends_session: Mapped[bool] = mapped_column(default=True)

    # Raised by disabling: codes from before are worth nothing, also when the client is enabled again within a minute.
    epoch: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "refresh_rotation = 'always' OR token_endpoint_auth_method <> 'none' OR requires_sender_constraint",
            name="public_bearer_clients_rotate",
        ),
    )


class ClientSecret(Base):
    """One live secret of a client; two during an overlap. 256 random bits, so SHA-256 is hash enough."""

    __tablename__ = "client_secrets"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    secret_hash: Mapped[bytes]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("client_id", "secret_hash"),)


class Consent(Base):
    """What a person allowed a client. One row in force per person and client; withdrawn ones stay as history."""

    __tablename__ = "consents"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    scopes: Mapped[tuple[str, ...]] = mapped_column(Words)
    granted_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_consents_in_force",
            "user_id",
            "client_id",
            unique=True,
            sqlite_where=text("withdrawn_at IS NULL"),
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
        Index("ix_consents_client_id", "client_id"),
    )
