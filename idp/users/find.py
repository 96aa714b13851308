"""Finding people, by the names that they type and the identifiers that we gave them.

A person may sign in with the e-mail address or the username; both are compared in one normal form, so that
"Alice@Example.com" and "alice@example.com" are one account and one guess budget. Deleted people are never found.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import String, bindparam, select

from idp.clients import ClientTerms
from idp.db.engine import Tx
from idp.db.models import User
from idp.db.once import run
from idp.kit.wording import is_storable

MAX_LOGIN_NAME_LENGTH = 254


def normalize_login_name(text: str) -> str:
    """The form in which login names are compared: NFKC, case-folded, no blanks around. Never raises."""
    # Case-folding can undo NFKC (U+01F0 becomes two code points), hence the second pass.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.strip()


def find_by_login_name(tx: Tx, name: str) -> User | None:
    """The person who signs in with this e-mail address or username, disabled ones included; None for any nonsense."""
    key = _key_of(name)
    if key is None:
        return None
    column = User.email_key if "@" in key else User.username_key
    return tx.scalars(select(User).where(column == key, User.deleted_at.is_(None))).one_or_none()


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """What checking a password needs to know of the person of a login name."""

    id: str
    epoch: int
    password_hash: str | None = field(repr=False)


_BY_KEY = select(User.id, User.epoch, User.password_hash).where(User.deleted_at.is_(None))
_BY_EMAIL, _BY_USERNAME = (
    _BY_KEY.where(column == bindparam("login", type_=String())) for column in (User.email_key, User.username_key)
)


def find_known_person(tx: Tx, name: str) -> KnownPerson | None:
    """As `find_by_login_name`, without the rest of their row."""
    key = _key_of(name)
    if key is None:
        return None
    row: tuple[Any, ...] | None = run(tx, _BY_EMAIL if "@" in key else _BY_USERNAME, {"login": key}).one_or_none()
    return None if row is None else KnownPerson(*row)


def _key_of(name: str) -> str | None:
    """The normal form of a name that somebody could have; None for any nonsense."""
    key = normalize_login_name(name)
    return key if key and len(key) <= MAX_LOGIN_NAME_LENGTH and is_storable(key) else None


def find_user(tx: Tx, user_id: str) -> User | None:
    """The person with this identifier, disabled ones included."""
    return tx.scalars(select(User).where(User.id == user_id, User.deleted_at.is_(None))).one_or_none()


def find_by_sub(tx: Tx, sub: str) -> User | None:
    """The person with this subject identifier, disabled ones included."""
    if not is_storable(sub):
        return None
    return tx.scalars(select(User).where(User.sub == sub, User.deleted_at.is_(None))).one_or_none()


def list_users(tx: Tx, *, after: str = "", limit: int = 1000) -> Sequence[User]:
    """People in the order of their identifiers, from the one after `after`."""
    return tx.scalars(
        select(User).where(User.deleted_at.is_(None), User.id > after).order_by(User.id).limit(limit)
    ).all()


def subject_for(sub: str, client: ClientTerms) -> str:
    """The `sub` by which `client` knows the person of this one (OIDC Core §8). Only here another may ever be chosen."""
    assert client.subject_type == "public", "registration admits no other subject type"
    return sub
