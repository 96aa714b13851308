"""People, and the budget of guesses against their secrets."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base
from idp.db.types import Identifier


def _unique_where_given(column: str) -> Index:
    is_given = text(f"{column} IS NOT NULL")
    return Index(f"ix_users_{column}", column, unique=True, sqlite_where=is_given, postgresql_where=is_given)


class User(Base):
    """A person. A deleted one stays as a tombstone, so that `sub` is never reused (I15)."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Identifier(), primary_key=True)
    sub: Mapped[str] = mapped_column(String(64), unique=True)
    # Raised by whatever must also kill everything half-way (design §2.7): sign out everywhere, password change …
    epoch: Mapped[int] = mapped_column(default=0)
    username: Mapped[str | None] = mapped_column(String(64))
    email: Mapped[str | None] = mapped_column(String(254))
    # What one signs in with: NFKC-casefolded, so that one person has one account and one guess budget.
    username_key: Mapped[str | None] = mapped_column(String(64))
    email_key: Mapped[str | None] = mapped_column(String(254))
    email_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str | None]
    password_changed_at: Mapped[datetime | None]
    claims: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    claims_updated_at: Mapped[datetime]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("epoch >= 0", name="epoch_not_negative"),
        CheckConstraint("deleted_at IS NOT NULL OR email_key IS NOT NULL OR username_key IS NOT NULL", name="has_name"),
        CheckConstraint("username_key IS NULL OR username_key NOT LIKE '%@%'", name="username_is_no_email"),
        # Partial, or PostgreSQL takes them for what foreign keys may point at: a deletion, which empties both, would
        # wait for everybody who is just writing something of the person (docs/adr/0005).
        _unique_where_given("username_key"),
        _unique_where_given("email_key"),
    )


class GuessBudget(Base):
    """Wrong guesses in the running window, per person (over all paths, I14) or per network address."""

    __tablename__ = "guess_budgets"

    # `person:<keyed hash>` or `address:<keyed hash>`: names that exist nowhere are counted too, and none is readable.
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    window_started_at: Mapped[datetime]
    guesses: Mapped[int]

    __table_args__ = (
        CheckConstraint("guesses >= 0", name="guesses_not_negative"),
        Index("ix_guess_budgets_window_started_at", "window_started_at"),
    )
