"""An epoch for clients, which disabling raises, and the epoch that a code was issued under.

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("epoch", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    with op.batch_alter_table("authorization_codes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("client_epoch", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("authorization_codes", schema=None) as batch_op:
        batch_op.drop_column("client_epoch")
    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.drop_column("epoch")
