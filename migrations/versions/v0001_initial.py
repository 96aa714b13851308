"""initial.

Revision 0001: the first one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IDENTIFIER = sa.String(26).with_variant(sa.VARCHAR(26, collation="C"), "postgresql")


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "audit_events",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=True),
        sa.Column("client_id", sa.String(length=64), nullable=True),
        sa.Column("session_id", IDENTIFIER, nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("ip_address", sa.String(length=64), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.create_index("ix_audit_events_occurred_at", ["occurred_at"], unique=False)
        batch_op.create_index("ix_audit_events_user_id", ["user_id", "occurred_at"], unique=False)

    op.create_table(
        "clients",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "origin",
            sa.Enum("operator", "dynamic", name="origin", native_enum=False, create_constraint=True, length=64),
            nullable=False,
        ),
        sa.Column("is_native", sa.Boolean(), nullable=False),
        sa.Column("is_first_party", sa.Boolean(), nullable=False),
        sa.Column("token_endpoint_auth_method", sa.String(length=32), nullable=False),
        sa.Column("grant_types", sa.Text(), nullable=False),
        sa.Column("response_types", sa.JSON(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("redirect_uris", sa.JSON(), nullable=False),
        sa.Column("post_logout_redirect_uris", sa.JSON(), nullable=False),
        sa.Column("backchannel_logout_uri", sa.Text(), nullable=True),
        sa.Column("frontchannel_logout_uri", sa.Text(), nullable=True),
        sa.Column("frontchannel_logout_session_required", sa.Boolean(), nullable=False),
        sa.Column("requires_pkce", sa.Boolean(), nullable=False),
        sa.Column("id_token_signed_response_alg", sa.String(length=16), nullable=False),
        sa.Column("userinfo_signed_response_alg", sa.String(length=16), nullable=True),
        sa.Column("subject_type", sa.String(length=16), nullable=False),
        sa.Column("sector_identifier", sa.Text(), nullable=True),
        sa.Column("jwks", sa.JSON(), nullable=True),
        sa.Column("jwks_uri", sa.Text(), nullable=True),
        sa.Column("requires_sender_constraint", sa.Boolean(), nullable=False),
        sa.Column("profile", sa.String(length=16), nullable=False),
        sa.Column("default_resource", sa.Text(), nullable=True),
        sa.Column("allowed_resources", sa.JSON(), nullable=False),
        sa.Column("resource_identifiers", sa.JSON(), nullable=False),
        sa.Column("logo_uri", sa.Text(), nullable=True),
        sa.Column("client_uri", sa.Text(), nullable=True),
        sa.Column("policy_uri", sa.Text(), nullable=True),
        sa.Column("tos_uri", sa.Text(), nullable=True),
        sa.Column("initiate_login_uri", sa.Text(), nullable=True),
        sa.Column("access_token_lifetime", sa.BigInteger(), nullable=True),
        sa.Column("app_idle_lifetime", sa.BigInteger(), nullable=True),
        sa.Column("app_absolute_lifetime", sa.BigInteger(), nullable=True),
        sa.Column(
            "refresh_binding",
            sa.Enum(
                "session", "standalone", name="refresh_binding", native_enum=False, create_constraint=True, length=64
            ),
            nullable=False,
        ),
        sa.Column(
            "refresh_rotation",
            sa.Enum("always", "off", name="refresh_rotation", native_enum=False, create_constraint=True, length=64),
            nullable=False,
        ),
        sa.Column("refresh_leeway_lifetime", sa.BigInteger(), nullable=True),
        sa.Column("lost_answer_lifetime", sa.BigInteger(), nullable=True),
        sa.Column("refresh_extends_session", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "refresh_rotation = 'always' OR token_endpoint_auth_method <> 'none' OR requires_sender_constraint",
            name=op.f("ck_clients_public_bearer_clients_rotate"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_table(
        "denied_access_tokens",
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("denied_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_denied_access_tokens")),
    )
    with op.batch_alter_table("denied_access_tokens", schema=None) as batch_op:
        batch_op.create_index("ix_denied_access_tokens_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "guess_budgets",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("window_started_at", sa.BigInteger(), nullable=False),
        sa.Column("guesses", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("guesses >= 0", name=op.f("ck_guess_budgets_guesses_not_negative")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_guess_budgets")),
    )
    with op.batch_alter_table("guess_budgets", schema=None) as batch_op:
        batch_op.create_index("ix_guess_budgets_window_started_at", ["window_started_at"], unique=False)

    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("public_jwk", sa.JSON(), nullable=False),
        sa.Column("private_key_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("activates_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.Column("unpublished_at", sa.BigInteger(), nullable=True),
        sa.Column("compromised_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    with op.batch_alter_table("signing_keys", schema=None) as batch_op:
        batch_op.create_index("ix_signing_keys_algorithm", ["algorithm", "activates_at"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("sub", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("username_key", sa.String(length=64), nullable=True),
        sa.Column("email_key", sa.String(length=254), nullable=True),
        sa.Column("email_verified_at", sa.BigInteger(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("password_changed_at", sa.BigInteger(), nullable=True),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("claims_updated_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "username_key IS NULL OR username_key NOT LIKE '%@%'", name=op.f("ck_users_username_is_no_email")
        ),
        sa.CheckConstraint(
            "deleted_at IS NOT NULL OR email_key IS NOT NULL OR username_key IS NOT NULL",
            name=op.f("ck_users_has_name"),
        ),
        sa.CheckConstraint("epoch >= 0", name=op.f("ck_users_epoch_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
        sa.UniqueConstraint("sub", name=op.f("uq_users_sub")),
        sa.UniqueConstraint("username_key", name=op.f("uq_users_username_key")),
    )
    op.create_table(
        "client_secrets",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_client_secrets_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_secrets")),
        sa.UniqueConstraint("client_id", "secret_hash", name=op.f("uq_client_secrets_client_id_secret_hash")),
    )
    op.create_table(
        "consents",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_consents_client_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_consents_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.create_index("ix_consents_client_id", ["client_id"], unique=False)
        batch_op.create_index(
            "uq_consents_in_force",
            ["user_id", "client_id"],
            unique=True,
            sqlite_where=sa.text("withdrawn_at IS NULL"),
            postgresql_where=sa.text("withdrawn_at IS NULL"),
        )

    op.create_table(
        "logout_events",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("actor_session_id", sa.String(length=26), nullable=True),
        sa.Column("initiating_client_id", sa.String(length=64), nullable=True),
        sa.Column("browsers_ended", sa.Integer(), nullable=False),
        sa.Column("apps_ended", sa.Integer(), nullable=False),
        sa.Column("access_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt_hash", sa.LargeBinary(), nullable=True),
        sa.Column("receipt_browser_hash", sa.LargeBinary(), nullable=True),
        sa.Column("receipt_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_logout_events_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logout_events")),
    )
    with op.batch_alter_table("logout_events", schema=None) as batch_op:
        batch_op.create_index("ix_logout_events_user_id", ["user_id", "occurred_at"], unique=False)

    op.create_table(
        "stored_requests",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column(
            "kind",
            sa.Enum("authorize", "logout", name="kind", native_enum=False, create_constraint=True, length=64),
            nullable=False,
        ),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=True),
        sa.Column("client_id", sa.String(length=64), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_stored_requests_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_requests")),
    )
    with op.batch_alter_table("stored_requests", schema=None) as batch_op:
        batch_op.create_index("ix_stored_requests_client_id", ["client_id"], unique=False)
        batch_op.create_index("ix_stored_requests_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column(
            "kind",
            sa.Enum("browser", "app", name="kind", native_enum=False, create_constraint=True, length=64),
            nullable=False,
        ),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_until", sa.BigInteger(), nullable=True),
        sa.Column("client_id", sa.String(length=64), nullable=True),
        sa.Column("parent_id", IDENTIFIER, nullable=True),
        sa.Column("auth_time", sa.BigInteger(), nullable=False),
        sa.Column("amr", sa.JSON(), nullable=False),
        sa.Column("acr", sa.Text(), nullable=True),
        sa.Column("keep_signed_in", sa.Boolean(), nullable=False),
        sa.Column("device_name", sa.Text(), nullable=False),
        sa.Column("os_name", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.String(length=64), nullable=False),
        sa.Column("upstream_issuer", sa.Text(), nullable=True),
        sa.Column("upstream_sid", sa.Text(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("last_active_at", sa.BigInteger(), nullable=False),
        sa.Column("sweep_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.Column("logout_event_id", IDENTIFIER, nullable=True),
        sa.CheckConstraint("(kind = 'app') = (client_id IS NOT NULL)", name=op.f("ck_sessions_app_has_client")),
        sa.CheckConstraint(
            "(kind = 'browser') = (secret_hash IS NOT NULL)", name=op.f("ck_sessions_browser_has_cookie_secret")
        ),
        sa.CheckConstraint("kind = 'app' OR parent_id IS NULL", name=op.f("ck_sessions_only_apps_have_parents")),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_sessions_ended_with_reason")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_sessions_client_id")),
        sa.ForeignKeyConstraint(["logout_event_id"], ["logout_events.id"], name=op.f("fk_sessions_logout_event_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["sessions.id"], name=op.f("fk_sessions_parent_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index("ix_sessions_client_id", ["client_id"], unique=False)
        batch_op.create_index(
            "ix_sessions_ended_of_user",
            ["user_id", "ended_at", "id"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_sessions_live_of_user",
            ["user_id", "kind", "last_active_at", "id"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.create_index("ix_sessions_logout_event_id", ["logout_event_id"], unique=False)
        batch_op.create_index("ix_sessions_parent_id", ["parent_id"], unique=False)
        batch_op.create_index(
            "ix_sessions_sweep_at",
            ["sweep_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.create_index("ix_sessions_upstream", ["upstream_issuer", "upstream_sid"], unique=False)

    op.create_table(
        "logout_deliveries",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("event_id", IDENTIFIER, nullable=False),
        sa.Column("session_id", IDENTIFIER, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("client_name", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("operator_registered", sa.Boolean(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "told",
                "refused",
                "gave_up",
                "cannot_be_told",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=64,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("last_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_failure", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(state = 'pending') = (settled_at IS NULL)", name=op.f("ck_logout_deliveries_settled_unless_pending")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_logout_deliveries_client_id")),
        sa.ForeignKeyConstraint(["event_id"], ["logout_events.id"], name=op.f("fk_logout_deliveries_event_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_logout_deliveries_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logout_deliveries")),
    )
    with op.batch_alter_table("logout_deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_logout_deliveries_client_id", ["client_id"], unique=False)
        batch_op.create_index(
            "ix_logout_deliveries_due",
            ["next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index("ix_logout_deliveries_event_id", ["event_id"], unique=False)
        batch_op.create_index("ix_logout_deliveries_session_id", ["session_id"], unique=False)

    op.create_table(
        "session_clients",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("session_id", IDENTIFIER, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_session_clients_ended_with_reason")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_session_clients_client_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_session_clients_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_clients")),
        sa.UniqueConstraint("sid", name=op.f("uq_session_clients_sid")),
    )
    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.create_index("ix_session_clients_client_id", ["client_id"], unique=False)
        batch_op.create_index("ix_session_clients_session_id", ["session_id"], unique=False)
        batch_op.create_index(
            "uq_session_clients_live",
            ["session_id", "client_id"],
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.create_table(
        "token_families",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=True),
        sa.Column("session_id", IDENTIFIER, nullable=True),
        sa.Column("session_client_id", IDENTIFIER, nullable=True),
        sa.Column(
            "grant_type",
            sa.Enum(
                "authorization_code",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:device_code",
                name="grant_type",
                native_enum=False,
                create_constraint=True,
                length=64,
            ),
            nullable=False,
        ),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("parent_generation", sa.BigInteger(), nullable=True),
        sa.Column("rotated_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.Column("access_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("claims_request", sa.JSON(), nullable=False),
        sa.Column("auth_time", sa.BigInteger(), nullable=True),
        sa.Column("amr", sa.JSON(), nullable=False),
        sa.Column("acr", sa.Text(), nullable=True),
        sa.Column("sender_constraint_key", sa.String(length=64), nullable=True),
        sa.Column("status_index", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoke_reason", sa.String(length=32), nullable=True),
        sa.CheckConstraint(
            "(user_id IS NULL) = (grant_type = 'client_credentials')",
            name=op.f("ck_token_families_user_unless_client_credentials"),
        ),
        sa.CheckConstraint(
            "(revoked_at IS NULL) = (revoke_reason IS NULL)", name=op.f("ck_token_families_revoked_with_reason")
        ),
        sa.CheckConstraint(
            "(user_id IS NULL) = (session_client_id IS NULL)", name=op.f("ck_token_families_participation_with_user")
        ),
        sa.CheckConstraint(
            "(user_id IS NULL) = (session_id IS NULL)", name=op.f("ck_token_families_session_with_user")
        ),
        sa.CheckConstraint("generation >= 1", name=op.f("ck_token_families_generation_from_one")),
        sa.CheckConstraint(
            "parent_generation IS NULL OR parent_generation < generation",
            name=op.f("ck_token_families_parent_is_older"),
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_token_families_client_id")),
        sa.ForeignKeyConstraint(
            ["session_client_id"], ["session_clients.id"], name=op.f("fk_token_families_session_client_id")
        ),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_token_families_session_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_token_families_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_families")),
        postgresql_with={"fillfactor": "60"},
    )
    with op.batch_alter_table("token_families", schema=None) as batch_op:
        batch_op.create_index("ix_token_families_client_id", ["client_id"], unique=False)
        batch_op.create_index("ix_token_families_session_client_id", ["session_client_id"], unique=False)
        batch_op.create_index("ix_token_families_session_id", ["session_id"], unique=False)
        batch_op.create_index(
            "uq_token_families_status_index",
            ["status_index"],
            unique=True,
            sqlite_where=sa.text("status_index IS NOT NULL"),
            postgresql_where=sa.text("status_index IS NOT NULL"),
        )

    op.create_table(
        "authorization_codes",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("session_id", IDENTIFIER, nullable=False),
        sa.Column("user_epoch", sa.BigInteger(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("redirect_uri_was_sent", sa.Boolean(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("claims_request", sa.JSON(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("code_challenge", sa.String(length=128), nullable=True),
        sa.Column("sender_constraint_key", sa.String(length=64), nullable=True),
        sa.Column("device_name", sa.Text(), nullable=False),
        sa.Column("os_name", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.String(length=64), nullable=False),
        sa.Column("auth_time", sa.BigInteger(), nullable=False),
        sa.Column("amr", sa.JSON(), nullable=False),
        sa.Column("acr", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("family_id", IDENTIFIER, nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_authorization_codes_client_id")),
        sa.ForeignKeyConstraint(["family_id"], ["token_families.id"], name=op.f("fk_authorization_codes_family_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_authorization_codes_session_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_authorization_codes_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorization_codes")),
    )
    with op.batch_alter_table("authorization_codes", schema=None) as batch_op:
        batch_op.create_index("ix_authorization_codes_client_id", ["client_id"], unique=False)
        batch_op.create_index("ix_authorization_codes_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_authorization_codes_session_id", ["session_id"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("authorization_codes", schema=None) as batch_op:
        batch_op.drop_index("ix_authorization_codes_session_id")
        batch_op.drop_index("ix_authorization_codes_expires_at")
        batch_op.drop_index("ix_authorization_codes_client_id")

    op.drop_table("authorization_codes")
    with op.batch_alter_table("token_families", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_token_families_status_index",
            sqlite_where=sa.text("status_index IS NOT NULL"),
            postgresql_where=sa.text("status_index IS NOT NULL"),
        )
        batch_op.drop_index("ix_token_families_session_id")
        batch_op.drop_index("ix_token_families_session_client_id")
        batch_op.drop_index("ix_token_families_client_id")

    op.drop_table("token_families")
    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_session_clients_live",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.drop_index("ix_session_clients_session_id")
        batch_op.drop_index("ix_session_clients_client_id")

    op.drop_table("session_clients")
    with op.batch_alter_table("logout_deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_logout_deliveries_session_id")
        batch_op.drop_index("ix_logout_deliveries_event_id")
        batch_op.drop_index(
            "ix_logout_deliveries_due",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.drop_index("ix_logout_deliveries_client_id")

    op.drop_table("logout_deliveries")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index("ix_sessions_upstream")
        batch_op.drop_index(
            "ix_sessions_sweep_at",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.drop_index("ix_sessions_parent_id")
        batch_op.drop_index("ix_sessions_logout_event_id")
        batch_op.drop_index(
            "ix_sessions_live_of_user",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_sessions_ended_of_user",
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_sessions_client_id")

    op.drop_table("sessions")
    with op.batch_alter_table("stored_requests", schema=None) as batch_op:
        batch_op.drop_index("ix_stored_requests_expires_at")
        batch_op.drop_index("ix_stored_requests_client_id")

    op.drop_table("stored_requests")
    with op.batch_alter_table("logout_events", schema=None) as batch_op:
        batch_op.drop_index("ix_logout_events_user_id")

    op.drop_table("logout_events")
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_consents_in_force",
            sqlite_where=sa.text("withdrawn_at IS NULL"),
            postgresql_where=sa.text("withdrawn_at IS NULL"),
        )
        batch_op.drop_index("ix_consents_client_id")

    op.drop_table("consents")
    op.drop_table("client_secrets")
    op.drop_table("users")
    with op.batch_alter_table("signing_keys", schema=None) as batch_op:
        batch_op.drop_index("ix_signing_keys_algorithm")

    op.drop_table("signing_keys")
    with op.batch_alter_table("guess_budgets", schema=None) as batch_op:
        batch_op.drop_index("ix_guess_budgets_window_started_at")

    op.drop_table("guess_budgets")
    with op.batch_alter_table("denied_access_tokens", schema=None) as batch_op:
        batch_op.drop_index("ix_denied_access_tokens_expires_at")

    op.drop_table("denied_access_tokens")
    op.drop_table("clients")
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_events_user_id")
        batch_op.drop_index("ix_audit_events_occurred_at")

    op.drop_table("audit_events")
