"""What operators decided at run time: values that stand in place of the settings' own."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base


class PolicyValue(Base):
    """One value in force for the whole installation. No row: the setting of that name counts.

    All are integers (microseconds, counts, 0 or 1), so that a statement can compute with them where it reads them.
    """

    __tablename__ = "policy_values"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int]
    set_at: Mapped[datetime]
