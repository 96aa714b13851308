"""Links by which developers of applications test how those receive logout notices.

Revision 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

IDENTIFIER = sa.String(26).with_variant(sa.VARCHAR(26, collation="C"), "postgresql")


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "self_test_links",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("tests", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_self_test_links_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_self_test_links")),
    )
    with op.batch_alter_table("self_test_links", schema=None) as batch_op:
        batch_op.create_index("ix_self_test_links_client_id", ["client_id"], unique=False)
        batch_op.create_index("ix_self_test_links_expires_at", ["expires_at"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("self_test_links", schema=None) as batch_op:
        batch_op.drop_index("ix_self_test_links_expires_at")
        batch_op.drop_index("ix_self_test_links_client_id")

    op.drop_table("self_test_links")
