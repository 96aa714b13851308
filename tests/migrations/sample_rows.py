"""One row for every table, written against the tables and not the models: what an installation in use may hold."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from idp.db.models import Base

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

ROWS: dict[str, dict[str, Any]] = {
    "users": {"id": "u", "sub": "sub-1", "epoch": 3, "email": "Ada@Example.org", "email_key": "ada@example.org"}
    | {"claims": {"name": "Ada"}, "claims_updated_at": NOON, "created_at": NOON},
    "guess_budgets": {"key": "person:x", "window_started_at": NOON, "guesses": 2},
    "signing_keys": {"kid": "k", "algorithm": "ES256", "public_jwk": {"kty": "EC"}, "private_key_sealed": b"sealed"}
    | {"created_at": NOON, "activates_at": NOON},
    "clients": {"id": "c", "name": "Wiki", "token_endpoint_auth_method": "client_secret_basic"}
    | {"grant_types": ("authorization_code",), "response_types": ["code"], "scopes": ("openid",)}
    | {"redirect_uris": ["https://wiki.example.org/cb"], "post_logout_redirect_uris": [], "allowed_resources": []}
    | {"resource_identifiers": []}
    | {"id_token_signed_response_alg": "ES256", "refresh_binding": "session", "refresh_rotation": "always"}
    | {"participation_idle_lifetime": HOUR, "participation_absolute_lifetime": HOUR, "epoch": 1, "created_at": NOON},
    "client_secrets": {"id": "cs", "client_id": "c", "secret_hash": b"hash", "created_at": NOON},
    "consents": {"id": "co", "user_id": "u", "client_id": "c", "scopes": ("openid",)}
    | {"granted_at": NOON, "updated_at": NOON},
    "logout_events": {"id": "e", "user_id": "u", "reason": "signed_out", "occurred_at": NOON},
    "stored_requests": {"id": "sr", "kind": "authorize", "secret_hash": b"hash", "client_id": "c"}
    | {"parameters": {"state": "s"}, "created_at": NOON, "expires_at": NOON},
    "self_test_links": {"id": "st", "client_id": "c", "secret_hash": b"hash", "created_at": NOON, "expires_at": NOON}
    | {"tests": 1, "asked_at": NOON, "answered_at": NOON, "results": [{"case": "genuine", "status": 200}]},
    "sessions": {"id": "s", "user_id": "u", "kind": "browser", "secret_hash": b"hash", "auth_time": NOON}
    | {"amr": ["pwd"], "started_at": NOON, "last_active_at": NOON, "sweep_at": NOON}
    | {"ended_at": NOON, "end_reason": "signed_out", "logout_event_id": "e"},
    "session_clients": {"id": "p", "session_id": "s", "client_id": "c", "sid": "sid-1", "started_at": NOON}
    | {"sweep_at": NOON},
    "token_families": {"id": "f", "client_id": "c", "user_id": "u", "session_id": "s", "session_client_id": "p"}
    | {"grant_type": "authorization_code", "secret_hash": b"hash", "generation": 7, "parent_generation": 6}
    | {"last_used_at": NOON, "access_expires_at": NOON, "scope": ("openid",), "resources": [], "started_at": NOON},
    "authorization_codes": {"id": "a", "secret_hash": b"hash", "client_id": "c", "user_id": "u", "session_id": "s"}
    | {"user_epoch": 3, "client_epoch": 1, "redirect_uri": "https://wiki.example.org/cb"}
    | {"scope": ("openid",), "resources": []}
    | {"auth_time": NOON, "amr": ["pwd"], "created_at": NOON, "expires_at": NOON, "used_at": NOON, "family_id": "f"},
    "logout_deliveries": {"id": "d", "event_id": "e", "session_id": "s", "client_id": "c", "client_name": "Wiki"}
    | {"uri": "https://wiki.example.org/out", "operator_registered": True, "audience": "c", "sub": "sub-1"}
    | {"sid": "sid-1", "algorithm": "ES256", "ended_at": NOON, "state": "pending", "next_attempt_at": NOON}
    | {"created_at": NOON},
    "denied_access_tokens": {"jti": "j", "expires_at": NOON, "denied_at": NOON},
    "policy_values": {"name": "browser_idle_lifetime", "value": 28_800_000_000, "set_at": NOON},
    "worker_heartbeats": {"name": "node-1:42:0f", "seen_at": NOON},
    "mail_messages": {"id": "m", "user_id": "u", "kind": "old_token_used", "recipient": "ada@example.org"}
    | {"subject": "Signed out", "body": "…", "state": "pending", "next_attempt_at": NOON, "created_at": NOON},
    "audit_events": {"id": "au", "occurred_at": NOON, "kind": "sign_in", "user_id": "u"},
}


def insert_sample_rows(connection: Connection) -> None:
    """Put the rows in, parents first."""
    for table in Base.metadata.sorted_tables:
        connection.execute(table.insert(), ROWS[table.name])


def count_rows(connection: Connection) -> dict[str, int]:
    """Rows per table of the models."""
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }
