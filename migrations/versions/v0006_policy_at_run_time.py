"""Policy at run time: values decided for the installation, and what a client may have of its own.

Revision 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "policy_values",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_policy_values")),
    )
    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("app_sessions_per_client", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("sign_in_again_since", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.drop_column("sign_in_again_since")
        batch_op.drop_column("app_sessions_per_client")

    op.drop_table("policy_values")
