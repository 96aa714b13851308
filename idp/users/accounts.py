"""Making accounts: which e-mail addresses and usernames there may be, and that each is one person's only.

Uniqueness is the database's word, not a question asked beforehand: two requests for one name can't both win. `sub` is
128 random bits, never derived from a name and never given to anybody else (I15, OIDC Core §2).
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import User
from idp.kit.identifiers import identifier_from_bytes, new_identifier, shard_key_of
from idp.kit.wording import is_storable
from idp.users.find import normalize_login_name

# The library refuses corp.local, localhost and the like, and offers this list to be changed. Mail inside a company may
# well use such names; whether an address works is shown by a mail that arrives, not by its spelling.
SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_USERNAME_LENGTH = 64
MAX_EMAIL_LENGTH = 254
# ASCII only: look-alike letters of other alphabets would let one person pose as another. No "@": it marks an address.
_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")


@dataclass(frozen=True)
class UserProblem:
    """Why an account can't be made: the field (`email`, `username`, `claims`) and a sentence for the person."""

    field: str
    text: str


def create_user(
    tx: Tx,
    *,
    email: str | None,
    username: str | None = None,
    password_hash: str | None,
    claims: Mapping[str, Any] | None = None,
    email_verified: bool = False,
    now: datetime,
) -> User | list[UserProblem]:
    """Make an account with an e-mail address, a username or both.

    `password_hash` comes from `hash_password`, made before the transaction. Returns the flushed row, or every problem
    found; then nothing was written and the transaction is still usable.
    """
    problems: list[UserProblem] = []
    checked_email = _check_email(email, problems)
    checked_username = _check_username(username, problems)
    if not problems and checked_email is None and checked_username is None:
        problems.append(UserProblem("email", "An account needs an e-mail address or a username."))
    if not _is_storable_json(claims or {}):
        problems.append(UserProblem("claims", "The claims contain characters that can't be stored."))
    if problems:
        return problems
    sub = new_subject()
    user = User(
        id=new_identifier(shard_key_of(sub), now),
        sub=sub,
        username=checked_username,
        email=checked_email,
        username_key=normalize_login_name(checked_username) if checked_username else None,
        email_key=normalize_login_name(checked_email) if checked_email else None,
        email_verified_at=now if email_verified and checked_email else None,
        password_hash=password_hash,
        password_changed_at=now if password_hash else None,
        claims=dict(claims or {}),
        claims_updated_at=now,
        created_at=now,
    )
    try:
        with tx.begin_nested():
            tx.add(user)
            tx.flush()
    except IntegrityError:
        taken = _find_taken(tx, user)
        if not taken:  # not the names: a broken assumption, which must be seen
            raise
        return taken
    record(tx, "user_created", now=now, user_id=user.id)
    return user


def new_subject() -> str:
    """A fresh `sub`: 128 random bits in one case only, because some RPs compare it without regard to case."""
    return identifier_from_bytes(secrets.token_bytes(16))


def replace_password_hash(tx: Tx, *, user_id: str, old_hash: str, new_hash: str) -> bool:
    """Store the same password under today's parameters; nothing happens when it was changed meanwhile."""
    replaced = tx.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == old_hash)
        .values(password_hash=new_hash)
        .returning(User.id)
    ).scalar_one_or_none()
    return replaced is not None


def _check_email(email: str | None, problems: list[UserProblem]) -> str | None:
    if email is None:
        return None
    text = email.strip()
    if not is_storable(text) or len(text) > MAX_EMAIL_LENGTH:
        problems.append(UserProblem("email", f"Use an e-mail address of at most {MAX_EMAIL_LENGTH} characters."))
        return None
    try:
        # No DNS query: an account must be creatable without a network, and only a confirmed mail proves an address.
        normalized = validate_email(text, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as error:
        problems.append(UserProblem("email", f"This is not an e-mail address: {str(error).rstrip('.')}."))
        return None
    if max(len(normalized), len(normalize_login_name(normalized))) > MAX_EMAIL_LENGTH:
        problems.append(UserProblem("email", f"Use an e-mail address of at most {MAX_EMAIL_LENGTH} characters."))
        return None
    return normalized


def _check_username(username: str | None, problems: list[UserProblem]) -> str | None:
    if username is None:
        return None
    text = username.strip()
    if not _USERNAME.match(text) or len(text) > MAX_USERNAME_LENGTH:
        problems.append(
            UserProblem(
                "username",
                f"Use 1 to {MAX_USERNAME_LENGTH} letters (a–z), digits, dots, hyphens and underscores, "
                "with a letter or digit at both ends.",
            )
        )
        return None
    return text


def _is_storable_json(value: Any) -> bool:
    match value:
        case str():
            return is_storable(value)
        case Mapping():
            return all(isinstance(key, str) and is_storable(key) and _is_storable_json(value[key]) for key in value)
        case list() | tuple():
            return all(_is_storable_json(item) for item in value)
        case None | bool() | int() | float():
            return True
        case _:
            return False


def _find_taken(tx: Tx, user: User) -> list[UserProblem]:
    wanted = [
        column == key
        for column, key in ((User.email_key, user.email_key), (User.username_key, user.username_key))
        if key is not None
    ]
    others = tx.execute(select(User.email_key, User.username_key).where(or_(*wanted))).all()
    problems = []
    if user.email_key and any(other.email_key == user.email_key for other in others):
        problems.append(UserProblem("email", "An account with this e-mail address exists already."))
    if user.username_key and any(other.username_key == user.username_key for other in others):
        problems.append(UserProblem("username", "An account with this username exists already."))
    return problems
