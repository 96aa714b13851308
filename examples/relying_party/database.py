"""One SQLite file for sessions, notices and half-done sign-ins; several threads and processes may share it."""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    handle_hash TEXT PRIMARY KEY, sub TEXT NOT NULL, sid TEXT, claims TEXT NOT NULL, id_token TEXT,
    access_token TEXT, refresh_token TEXT, form_token TEXT NOT NULL,
    issued_at REAL NOT NULL, started_at REAL NOT NULL, ended_at REAL, ended_by TEXT
);
CREATE INDEX IF NOT EXISTS session_sid ON session (sid);
CREATE INDEX IF NOT EXISTS session_sub ON session (sub);
CREATE TABLE IF NOT EXISTS notice (
    jti TEXT PRIMARY KEY, sid TEXT, sub TEXT, until REAL NOT NULL, received_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS pending (name TEXT PRIMARY KEY, content TEXT NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS secret (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), content TEXT NOT NULL);
"""


class Database:
    """A connection per transaction, so that nothing is shared between threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds tokens
        self._path = path
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commits at the end of the block, rolls back when it raises. Writers wait for each other from the start."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def signing_secret(self) -> str:
        """The secret of Flask's own cookie: made at the first start, the same for all processes afterwards."""
        with self.transaction() as tx:
            tx.execute("INSERT INTO secret VALUES (1, ?) ON CONFLICT DO NOTHING", (secrets.token_urlsafe(32),))
            return str(tx.execute("SELECT content FROM secret").fetchone()["content"])


class PendingSignIns:
    """Where Authlib keeps `nonce` and PKCE verifier until the person is back: here, not in a readable cookie."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def get(self, name: str) -> str | None:
        """The content under `name`, unless it has expired."""
        with self._database.transaction() as tx:
            row = tx.execute(
                "SELECT content FROM pending WHERE name = ? AND expires_at > ?", (name, self._clock())
            ).fetchone()
        return str(row["content"]) if row else None

    def set(self, name: str, content: str, seconds: int) -> None:
        """Keep `content` for `seconds`."""
        now = self._clock()
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM pending WHERE expires_at <= ?", (now,))
            tx.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", (name, content, now + seconds))

    def delete(self, name: str) -> None:
        """Forget `name`."""
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM pending WHERE name = ?", (name,))
