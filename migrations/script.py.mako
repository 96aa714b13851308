"""${message}.

Revision ${up_revision}${f", after {down_revision}" if down_revision else ": the first one"}.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

IDENTIFIER = sa.String(26).with_variant(sa.VARCHAR(26, collation="C"), "postgresql")


def upgrade() -> None:
    """Expand."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take it back."""
    ${downgrades if downgrades else "pass"}
