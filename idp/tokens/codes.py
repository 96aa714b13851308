"""Authorization codes: issued to a live session, for a minute (RFC 6749 §4.1, RFC 9700 §2.1.1).

A code holds what was asked for and the epochs of person and client. What it is worth is found out when it is redeemed
(`idp.tokens.redemption`): nothing that is checked here is taken for granted there.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, String, and_, bindparam, insert, select

from idp.clients import AskingClient, ClientTerms
from idp.db.engine import Tx
from idp.db.models import AuthorizationCode, Client, RefreshBinding, Session, SessionKind, User
from idp.db.once import run
from idp.db.types import to_microseconds
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.kit.opaque import Secret, hash_secret, make_handle, new_secret
from idp.sessions import Device, SessionPolicy, is_live
from idp.settings import Settings
from idp.tokens.families import REFRESH_GRANT
from idp.tokens.issued import OFFLINE_ACCESS


@dataclass(frozen=True)
class CodeRequest:
    """What an authorization request, checked and approved, asks a code for."""

    client_id: str
    redirect_uri: str
    redirect_uri_was_sent: bool
    scope: tuple[str, ...]
    resources: list[str]
    claims_request: dict[str, Any]
    nonce: str | None
    code_challenge: str | None
    device: Device = field(default_factory=Device)


class CodeRefused(StrEnum):
    """Why no code was issued although the request was good: the session or the person changed meanwhile."""

    SESSION_OVER = "session_over"
    OVERTAKEN = "overtaken"


_CODES = AuthorizationCode.__table__.c
# What the rows of person and client say themselves; the other columns are given.
_EPOCHS = {"user_id": User.id, "user_epoch": User.epoch, "client_id": Client.id, "client_epoch": Client.epoch}
_UNKNOWN_AT_FIRST = {"sender_constraint_key", "used_at", "family_id"}
_GIVEN = {
    column.name: bindparam(f"new_{column.name}", type_=column.type)
    for column in _CODES
    if column.name not in _UNKNOWN_AT_FIRST | _EPOCHS.keys()
}
# A statement after the session's lock: what it reads is not older than the lock, however long that was waited for.
_ISSUE = (
    insert(AuthorizationCode)
    .from_select(
        [*_EPOCHS, *_GIVEN],
        select(*_EPOCHS.values(), *_GIVEN.values())
        .join(Client, and_(Client.id == bindparam("client", type_=String()), Client.disabled_at.is_(None)))
        .where(
            User.id == bindparam("person", type_=String()),
            User.epoch == bindparam("expected_epoch", type_=BigInteger()),
        ),
    )
    .returning(AuthorizationCode.id)
)


def issue_code(
    tx: Tx, *, request: CodeRequest, session_id: str, expected_epoch: int, settings: Settings, now: datetime
) -> Secret | CodeRefused:
    """A code for a live browser session, good for a minute; at least 128 random bits (RFC 6749 §10.10).

    `expected_epoch` is the person's epoch when the session was looked up for this request.
    """
    session = lock_live_session(tx, session_id, settings, now)
    if session is None:
        return CodeRefused.SESSION_OVER
    secret = new_secret()
    code_id = new_identifier(shard_key_in(session.user_id), now)
    issued = run(
        tx,
        _ISSUE,
        {
            "person": session.user_id,
            "expected_epoch": expected_epoch,
            "client": request.client_id,
            "new_id": code_id,
            "new_secret_hash": hash_secret(secret.reveal()),
            "new_session_id": session.id,
            "new_redirect_uri": request.redirect_uri,
            "new_redirect_uri_was_sent": request.redirect_uri_was_sent,
            "new_scope": request.scope,
            "new_resources": request.resources,
            "new_claims_request": request.claims_request,
            "new_nonce": request.nonce,
            "new_code_challenge": request.code_challenge,
            "new_device_name": request.device.device_name,
            "new_os_name": request.device.os_name,
            "new_agent_name": request.device.agent_name,
            "new_ip_address": request.device.ip_address,
            "new_auth_time": session.auth_time,
            "new_amr": session.amr,
            "new_acr": session.acr,
            "new_created_at": now,
            "new_expires_at": now + settings.authorization_code_lifetime,
        },
    ).one_or_none()
    if issued is None:
        return CodeRefused.OVERTAKEN
    return Secret(make_handle(code_id, secret))


def makes_app_session(client: ClientTerms | AskingClient, scope: tuple[str, ...]) -> bool:
    """Whether redeeming a code starts a session of the app's own instead of using the browser's (design §3)."""
    may_refresh = REFRESH_GRANT in client.grant_types
    return may_refresh and (OFFLINE_ACCESS in scope or client.refresh_binding is RefreshBinding.STANDALONE)


class LiveBrowserSession(NamedTuple):
    """A live browser session of a person who may sign in, locked."""

    id: str
    user_id: str
    auth_time: datetime
    amr: list[str]
    acr: str | None


def lock_live_session(tx: Tx, session_id: str, settings: Settings, now: datetime) -> LiveBrowserSession | None:
    """Lock a browser session that is live, and whose person may sign in; None for any other.

    The lock is what keeps it live until the transaction ends: whoever ends it waits (ADR 0005).
    """
    statement = _lock_if_live(SessionPolicy.of(settings))
    row = run(tx, statement, {"session": session_id, "now": to_microseconds(now)}).one_or_none()
    return None if row is None else LiveBrowserSession._make(row)


@lru_cache(maxsize=8)
def _lock_if_live(policy: SessionPolicy) -> Select[*tuple[Any, ...]]:
    may_sign_in = (User.id == Session.user_id, User.disabled_at.is_(None), User.deleted_at.is_(None))
    return (
        select(*(getattr(Session, name) for name in LiveBrowserSession._fields))
        .where(
            Session.id == bindparam("session", type_=String()),
            Session.kind == SessionKind.BROWSER,
            is_live(bindparam("now", type_=BigInteger()), policy),
            select(User.id).where(*may_sign_in).exists(),
        )
        .with_for_update(key_share=True, of=Session)
    )
