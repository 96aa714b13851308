"""Sign-ins, and which client took part in which: the records that logout works on."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base, closed_enum
from idp.db.types import Identifier


class SessionKind(StrEnum):
    """Who holds the session: a browser (our cookie) or one installed app, tool or device (a refresh token)."""

    BROWSER = "browser"
    APP = "app"


class EndReason(StrEnum):
    """Why a session, or a client's participation in one, ended. An open set: columns hold it as plain text."""

    SIGNED_OUT = "signed_out"
    SIGNED_OUT_BY_APPLICATION = "signed_out_by_application"
    ENDED_BY_PERSON = "ended_by_person"
    SIGNED_OUT_EVERYWHERE_ELSE = "signed_out_everywhere_else"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    SIGNED_OUT_BROWSERS = "signed_out_browsers"
    OTHER_PERSON_SIGNED_IN = "other_person_signed_in"
    ENDED_BY_ADMINISTRATOR = "ended_by_administrator"
    IDLE = "idle"
    EXPIRED = "expired"
    PARTICIPATION_IDLE = "participation_idle"
    PARTICIPATION_EXPIRED = "participation_expired"
    SESSION_CAP = "session_cap"
    PASSWORD_CHANGED = "password_changed"
    USER_DISABLED = "user_disabled"
    USER_DELETED = "user_deleted"
    REFRESH_TOKEN_REUSE = "refresh_token_reuse"
    REFRESH_TOKEN_AHEAD = "refresh_token_ahead"
    TOKEN_REVOKED = "token_revoked"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CLIENT_DISABLED = "client_disabled"
    CLIENT_DELETED = "client_deleted"
    CODE_REUSED = "code_reused"
    RESTORED = "restored"
    SIGN_IN_AGAIN = "sign_in_again"


class Session(Base):
    """One sign-in. Its effective ends are computed from today's policy; `sweep_at` is only a hint for the sweep."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[SessionKind] = mapped_column(closed_enum(SessionKind, "kind"))
    # Browser sessions: the cookie's secret. The previous one is read for 30 s more, for parallel tabs.
    secret_hash: Mapped[bytes | None]
    previous_secret_hash: Mapped[bytes | None]
    previous_secret_until: Mapped[datetime | None]
    # App sessions: the app, and the browser session in which it was approved.
    client_id: Mapped[str | None] = mapped_column(ForeignKey("clients.id"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("sessions.id"))
    auth_time: Mapped[datetime]
    amr: Mapped[list[str]] = mapped_column(JSON)
    acr: Mapped[str | None]
    keep_signed_in: Mapped[bool] = mapped_column(default=False)
    device_name: Mapped[str] = mapped_column(default="")
    os_name: Mapped[str] = mapped_column(default="")
    agent_name: Mapped[str] = mapped_column(default="")
    label: Mapped[str] = mapped_column(default="")
    ip_address: Mapped[str] = mapped_column(String(64), default="")
    # A session born from another provider: (iss, sid) there, so that its logout finds us.
    upstream_issuer: Mapped[str | None]
    upstream_sid: Mapped[str | None]
    started_at: Mapped[datetime]
    last_active_at: Mapped[datetime]
    # The earliest moment at which the sweep should look again. Not moved by activity: the sweep itself moves it.
    sweep_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(32))
    logout_event_id: Mapped[str | None] = mapped_column(ForeignKey("logout_events.id"))

    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_with_reason"),
        CheckConstraint("(kind = 'browser') = (secret_hash IS NOT NULL)", name="browser_has_cookie_secret"),
        CheckConstraint("(kind = 'app') = (client_id IS NOT NULL)", name="app_has_client"),
        CheckConstraint("kind = 'app' OR parent_id IS NULL", name="only_apps_have_parents"),
        Index(
            "ix_sessions_live_of_user",
            "user_id",
            "kind",
            "last_active_at",
            "id",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_sessions_ended_of_user",
            "user_id",
            "ended_at",
            "id",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
        Index(
            "ix_sessions_sweep_at",
            "sweep_at",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_sessions_ended_at",
            "ended_at",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
        Index("ix_sessions_client_id", "client_id"),
        Index("ix_sessions_parent_id", "parent_id"),
        Index("ix_sessions_logout_event_id", "logout_event_id"),
        Index("ix_sessions_upstream", "upstream_issuer", "upstream_sid"),
    )


class SessionClient(Base):
    """A client's participation in a session, with that client's own `sid`.

    Outlives every token: it is the record of whom to tell. Once ended it stays ended; coming back makes a new row with
    a new `sid`.
    """

    __tablename__ = "session_clients"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    sid: Mapped[str] = mapped_column(String(64), unique=True)
    started_at: Mapped[datetime]
    # When the sweep should look at it; null for most, which end with their session.
    sweep_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_with_reason"),
        Index(
            "ix_session_clients_sweep_at",
            "sweep_at",
            sqlite_where=text("ended_at IS NULL AND sweep_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NULL AND sweep_at IS NOT NULL"),
        ),
        Index(
            "uq_session_clients_live",
            "session_id",
            "client_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_session_clients_session_id", "session_id"),
        Index("ix_session_clients_client_id", "client_id"),
        Index(
            "ix_session_clients_ended_at",
            "ended_at",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
    )
