"""The order of histories, reasons for applications that ask for them, and dead letters that are quick to find.

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.create_index("ix_audit_events_history", ["user_id", "occurred_at", "id"], unique=False)

    with op.batch_alter_table("clients", schema=None) as batch_op:
        # With a default in the database: the version before this one still registers clients.
        batch_op.add_column(sa.Column("wants_logout_reason", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("logout_deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("logout_reason", sa.String(length=32), nullable=True))
        batch_op.create_index(
            "ix_logout_deliveries_dead",
            ["settled_at", "id"],
            unique=False,
            sqlite_where=sa.text("state IN ('refused', 'gave_up')"),
            postgresql_where=sa.text("state IN ('refused', 'gave_up')"),
        )
        batch_op.create_index("ix_logout_deliveries_of_client", ["client_id", "created_at", "id"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("logout_deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_logout_deliveries_of_client")
        batch_op.drop_index(
            "ix_logout_deliveries_dead",
            sqlite_where=sa.text("state IN ('refused', 'gave_up')"),
            postgresql_where=sa.text("state IN ('refused', 'gave_up')"),
        )
        batch_op.drop_column("logout_reason")

    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.drop_column("wants_logout_reason")

    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_events_history")
