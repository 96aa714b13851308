"""The address that the browser which signed out is asked to open (Front-Channel Logout).

Revision 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    op.add_column("logout_deliveries", sa.Column("frontchannel_uri", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("logout_deliveries") as batch:
        batch.drop_column("frontchannel_uri")
