"""Sign-in names are unique by partial indexes: deleting an account waits for nobody who writes of the person.

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

DEMANDS_THE_SAME = "the indexes let in what the constraints let in: nodes of the version before notice nothing"

_COLUMNS = ("username_key", "email_key")


def upgrade() -> None:
    """The new indexes first: at no moment may two people have one name."""
    for column in _COLUMNS:
        is_given = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_users_{column}", "users", [column], unique=True, sqlite_where=is_given, postgresql_where=is_given
        )
    with op.batch_alter_table("users", schema=None) as batch_op:
        for column in _COLUMNS:
            batch_op.drop_constraint(f"uq_users_{column}", type_="unique")


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("users", schema=None) as batch_op:
        for column in _COLUMNS:
            batch_op.create_unique_constraint(f"uq_users_{column}", [column])
    for column in _COLUMNS:
        op.drop_index(f"ix_users_{column}", "users")
