"""What the tests of one process share, because making it anew for each test takes longer than the test.

Passwords cost next to nothing (who tests what they cost asks for `costly_passwords`); SQLAlchemy's compiled statements,
Jinja's compiled templates and Werkzeug's compiled routes are kept across applications and databases; RSA keys, fresh
ones within a test, serve later tests again. None of it is a fact under test: statements are still sent, templates
rendered, passwords verified, keys sealed and unsealed each time. Programs that a test starts know nothing of this.
"""

import gc
import threading
from collections.abc import Iterator
from functools import lru_cache, partialmethod
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import load_der_private_key
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from idp.db.engine import engine_options
from idp.keys import material
from idp.users import passwords

_REAL_HASHER = passwords._HASHER
_CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_STATEMENTS: LRUCache[Any, Any] = LRUCache(2000)
_BUILDERS: dict[Any, Any] = {}


class _SharedKeys:
    """RSA keys, each of which takes up to a tenth of a second to make: no two alike within one test."""

    def __init__(self) -> None:
        self._made: list[RSAPrivateKey] = []
        self._lock = threading.Lock()
        self._taken = 0

    def begin_anew(self) -> None:
        """Another test begins, on a database without keys."""
        self._taken = 0

    def __call__(self, *, public_exponent: int, key_size: int) -> RSAPrivateKey:
        assert (public_exponent, key_size) == (65537, 2048), "these are kept; another kind needs a store of its own"
        with self._lock:
            self._taken += 1
            if self._taken > len(self._made):
                self._made.append(generate_private_key(public_exponent=public_exponent, key_size=key_size))
            return self._made[self._taken - 1]


_KEYS = _SharedKeys()


@pytest.fixture(scope="session", autouse=True)
def _economy() -> Iterator[None]:
    """For the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", _CHEAP_HASHER)
        patch.setattr("idp.app.engine_options", shared_engine_options)
        patch.setattr(material, "generate_rsa_key", _KEYS)
        # What it gives cannot be changed, and checking an RSA key that was loaded takes as long as making one.
        patch.setattr(material, "load_der_private_key", lru_cache(100)(load_der_private_key))
        for dialect in (PGDialect_psycopg, SQLiteDialect_pysqlite):
            # The keys of compiled statements name the dialect, of which each engine has its own: all say the same.
            patch.setattr(dialect, "__eq__", lambda self, other: type(self) is type(other))
            patch.setattr(dialect, "__hash__", lambda self: hash(type(self)))
        patch.setattr(Rule, "_compile_builder", partialmethod(_shared_builder, Rule._compile_builder))
        yield


def pytest_collection_finish() -> None:
    """What all tests are made of is never garbage: not to be looked through again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Before each test's fixtures."""
    _KEYS.begin_anew()


@pytest.fixture
def costly_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Password hashes as the service makes them."""
    monkeypatch.setattr(passwords, "_HASHER", _REAL_HASHER)
    passwords._nobodys_hash.cache_clear()
    yield
    passwords._nobodys_hash.cache_clear()


def shared_engine_options(url: str, pool_size: int) -> dict[str, Any]:
    """The service's own options, with one store of compiled statements for all engines."""
    return {**engine_options(url, pool_size), "execution_options": {"compiled_cache": _STATEMENTS}}


def _shared_builder(rule: Rule, compile_builder: Any, append_unknown: bool = True) -> Any:
    """The function that builds a route's URLs, of which Werkzeug compiles a hundred per application, in 20 ms."""
    if rule.defaults:
        return compile_builder(rule, append_unknown)
    key = (rule.rule, tuple(rule._trace), append_unknown)
    if key not in _BUILDERS:
        _BUILDERS[key] = compile_builder(rule, append_unknown)
    return _BUILDERS[key]


class _SharedTemplates(BytecodeCache):
    """Compiled templates in memory; Jinja compares checksums of the sources."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _SharedTemplates()


def share_templates(app: Flask) -> None:
    """Take compiled templates from those of former applications, and leave new ones for later."""
    app.jinja_env.bytecode_cache = _TEMPLATES
