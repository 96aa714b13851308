"""Indexes to purge by.

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    with op.batch_alter_table("authorization_codes", schema=None) as batch_op:
        batch_op.create_index(
            "ix_authorization_codes_family_id",
            ["family_id"],
            unique=False,
            sqlite_where=sa.text("family_id IS NOT NULL"),
            postgresql_where=sa.text("family_id IS NOT NULL"),
        )

    with op.batch_alter_table("logout_events", schema=None) as batch_op:
        batch_op.create_index("ix_logout_events_occurred_at", ["occurred_at"], unique=False)

    with op.batch_alter_table("mail_messages", schema=None) as batch_op:
        batch_op.create_index(
            "ix_mail_messages_settled_at",
            ["settled_at"],
            unique=False,
            sqlite_where=sa.text("settled_at IS NOT NULL"),
            postgresql_where=sa.text("settled_at IS NOT NULL"),
        )

    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.create_index(
            "ix_session_clients_ended_at",
            ["ended_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        )

    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_sessions_ended_at",
            ["ended_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        )

    with op.batch_alter_table("token_families", schema=None) as batch_op:
        batch_op.create_index(
            "ix_token_families_without_user",
            ["started_at"],
            unique=False,
            sqlite_where=sa.text("user_id IS NULL"),
            postgresql_where=sa.text("user_id IS NULL"),
        )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("token_families", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_token_families_without_user",
            sqlite_where=sa.text("user_id IS NULL"),
            postgresql_where=sa.text("user_id IS NULL"),
        )

    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_sessions_ended_at",
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        )

    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_session_clients_ended_at",
            sqlite_where=sa.text("ended_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NOT NULL"),
        )

    with op.batch_alter_table("mail_messages", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_mail_messages_settled_at",
            sqlite_where=sa.text("settled_at IS NOT NULL"),
            postgresql_where=sa.text("settled_at IS NOT NULL"),
        )

    with op.batch_alter_table("logout_events", schema=None) as batch_op:
        batch_op.drop_index("ix_logout_events_occurred_at")

    with op.batch_alter_table("authorization_codes", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_authorization_codes_family_id",
            sqlite_where=sa.text("family_id IS NOT NULL"),
            postgresql_where=sa.text("family_id IS NOT NULL"),
        )
