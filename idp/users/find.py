"""Finding people, by the names that they type and the identifiers that we gave them.

A person may sign in with the e-mail address or the username; both are compared in one normal form, so that
"Alice@Example.com" and "alice@example.com" are one account and one guess budget. Deleted people are never found.
"""

import unicodedata
from collections.abc import Sequence

from sqlalchemy import select

from idp.clients import ClientTerms
from idp.db.engine import Tx
from idp.db.models import User
from idp.kit.wording import is_storable

MAX_LOGIN_NAME_LENGTH = 254


def normalize_login_name(text: str) -> str:
    """The form in which login names are compared: NFKC, case-folded, no blanks around. Never raises."""
    # Case-folding can undo NFKC (U+01F0 becomes two code points), hence the second pass.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.strip()


def find_by_login_name(tx: Tx, name: str) -> User | None:
    """The person who signs in with this e-mail address or username, disabled ones included; None for any nonsense."""
    key = normalize_login_name(name)
    if not key or len(key) > MAX_LOGIN_NAME_LENGTH or not is_storable(key):
        return None
    column = User.email_key if "@" in key else User.username_key
    return tx.scalars(select(User).where(column == key, User.deleted_at.is_(None))).one_or_none()


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
