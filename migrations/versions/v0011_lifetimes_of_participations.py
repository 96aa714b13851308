"""Lifetimes of a client's own for its part in browser sessions, and when the sweep looks at such a part.

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("participation_idle_lifetime", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("participation_absolute_lifetime", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sweep_at", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            "ix_session_clients_sweep_at",
            ["sweep_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL AND sweep_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND sweep_at IS NOT NULL"),
        )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_session_clients_sweep_at",
            sqlite_where=sa.text("ended_at IS NULL AND sweep_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND sweep_at IS NOT NULL"),
        )
        batch_op.drop_column("sweep_at")
    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.drop_column("participation_absolute_lifetime")
        batch_op.drop_column("participation_idle_lifetime")
