"""What the tests of one process share, because making it anew for each test takes longer than the test.

Passwords cost next to nothing (who tests what they cost asks for `costly_passwords`); SQLAlchemy's compiled statements,
Jinja's compiled templates and Werkzeug's compiled routes are kept across applications and databases. None of it is a
fact under test: statements are still sent, templates rendered and passwords verified each time. Programs that a test
starts know nothing of this.
"""

from collections.abc import Iterator
from functools import partialmethod
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from idp.db.engine import engine_options
from idp.users import passwords

_REAL_HASHER = passwords._HASHER
_CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_STATEMENTS: LRUCache[Any, Any] = LRUCache(2000)
_BUILDERS: dict[Any, Any] = {}


@pytest.fixture(scope="session", autouse=True)
def _economy() -> Iterator[None]:
    """For the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", _CHEAP_HASHER)
        patch.setattr("idp.app.engine_options", shared_engine_options)
        for dialect in (PGDialect_psycopg, SQLiteDialect_pysqlite):
            # The keys of compiled statements name the dialect, of which each engine has its own: all say the same.
            patch.setattr(dialect, "__eq__", lambda self, other: type(self) is type(other))
            patch.setattr(dialect, "__hash__", lambda self: hash(type(self)))
        patch.setattr(Rule, "_compile_builder", partialmethod(_shared_builder, Rule._compile_builder))
        yield


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
