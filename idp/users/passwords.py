"""Password hashes: argon2id with 19 MiB, two passes, one lane (OWASP's minimum), at a bounded number at a time.

Hashing is slow on purpose and needs memory: done by everybody at once it would take the server down, and done inside a
transaction it would hold locks; so callers hash before they open one. An unknown account costs the same as a wrong
password, because a faster "no" tells who has an account here. Serves RFC 9106 §4 and NIST SP 800-63B §3.1.1.2.
"""

import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from idp.kit.opaque import Secret

MAX_PASSWORD_LENGTH = 1024
MIN_PASSWORD_LENGTH = 8
WAIT_SECONDS = 2.0

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


class PasswordChecksBusy(Exception):
    """All places for password checks stayed taken: answer 503 with Retry-After, and count no guess as wrong."""


def find_password_problem(password: Secret) -> str | None:
    """Why this can't become somebody's password, as a sentence for the person, or None when it can."""
    text = unicodedata.normalize("NFC", password.reveal())
    if len(text) < MIN_PASSWORD_LENGTH:
        return f"Use a password of at least {MIN_PASSWORD_LENGTH} characters."
    if len(text) > MAX_PASSWORD_LENGTH:
        return f"Use a password of at most {MAX_PASSWORD_LENGTH} characters."
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "The password contains characters that no keyboard can type."
    return None


def hash_password(password: Secret) -> str:
    """The argon2id hash of a password, to be stored. Raises ValueError if it is too long."""
    prepared = _prepare(password)
    if prepared is None:
        raise ValueError("the password is too long")
    return _HASHER.hash(prepared)


def verify_password(stored: str | None, password: Secret) -> bool:
    """Whether `password` is the one stored. `stored` None (no such account, or none set) costs as much and is False.

    Never raises, whatever was typed. Uncapped: web requests go through `PasswordChecks`.
    """
    prepared = _prepare(password)
    if prepared is None:  # the same for every account, so its speed tells nothing
        return False
    if stored is not None:
        try:
            return _HASHER.verify(stored, prepared)
        except InvalidHashError:
            pass  # no hash of ours: as if there were none
        except Argon2Error:
            return False
    with suppress(Argon2Error):
        _HASHER.verify(_nobodys_hash(), prepared)
    return False


def needs_rehash(stored: str) -> bool:
    """Whether a stored hash was made with weaker parameters than today's."""
    try:
        return _HASHER.check_needs_rehash(stored)
    except InvalidHashError:
        return False


class PasswordChecks:
    """At most `limit` hashes at a time in this process; others wait `wait_seconds`, then are turned away.

    In threads of their own: malloc keeps the 19 MiB of a hash for the thread that made it, so that a server's eight
    threads would come to hold eight times that. (Giving them back each time costs half as much again as the hash.)
    """

    def __init__(self, limit: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._places = threading.BoundedSemaphore(limit)
        self._wait_seconds = wait_seconds
        self._threads = ThreadPoolExecutor(limit, thread_name_prefix="password")

    def verify(self, stored: str | None, password: Secret) -> bool:
        """As `verify_password`. Raises `PasswordChecksBusy` when no place became free."""
        with self._place():
            return self._threads.submit(verify_password, stored, password).result()

    def hash(self, password: Secret) -> str:
        """As `hash_password`. Raises `PasswordChecksBusy` when no place became free."""
        with self._place():
            return self._threads.submit(hash_password, password).result()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=self._wait_seconds):
            raise PasswordChecksBusy
        try:
            yield
        finally:
            self._places.release()


@lru_cache
def checks_for(limit: int) -> PasswordChecks:
    """The process-wide `PasswordChecks` for `settings.concurrent_password_checks`."""
    return PasswordChecks(limit)


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return _HASHER.hash(b"the password of nobody")


def _prepare(password: Secret) -> bytes | None:
    # NFC: one keyboard sends "é" as one code point, another as two (NIST SP 800-63B §3.1.1.2).
    text = password.reveal()
    if len(text) > MAX_PASSWORD_LENGTH * 4:  # before work that grows with the length
        return None
    text = unicodedata.normalize("NFC", text)
    return None if len(text) > MAX_PASSWORD_LENGTH else text.encode("utf-8", "surrogatepass")
