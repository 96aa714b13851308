"""Redeeming an authorization code, at most once (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9700 §2.1.1).

State may change after a code was issued, so everything is checked again under the locks: user, epoch, session, client,
redirect URI and PKCE. A second redemption by someone who could have made the first revokes what it gave.
"""

import hashlib
import hmac
import re
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, select, update

from idp import audit
from idp.clients import CLIENT_TERMS, ClientTerms
from idp.db.engine import Tx
from idp.db.models import AuthorizationCode, Client, EndReason, TokenFamily
from idp.db.once import run
from idp.db.types import UTCDateTime
from idp.kit.keyring import Keyring
from idp.kit.opaque import base64url, secret_matches, split_handle
from idp.sessions import (
    Device,
    LockedUser,
    SessionPolicy,
    computed_part_end,
    end_overdue_part,
    end_surplus,
    join,
    lock_surplus,
    lock_user,
    start_app_session,
)
from idp.settings import Settings
from idp.tokens.codes import lock_live_session, makes_app_session
from idp.tokens.families import Authorized, start_user_family
from idp.tokens.issued import Issued, Refused, refuse_grant
from idp.tokens.revoke import revoke_family
from idp.users import subject_for

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")  # RFC 7636 §4.1
AUTHORIZATION_CODE_GRANT = "authorization_code"


def redeem_code(
    tx: Tx,
    *,
    code: str,
    client: ClientTerms,
    redirect_uri: str | None,
    code_verifier: str | None,
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> Issued | Refused:
    """Exchange a code for a family (RFC 6749 §4.1.3). The client is authenticated. The caller commits in every case.

    A refusal leaves a mark when the code was used before: its family is revoked in the same transaction.
    """
    parts = split_handle(code)
    if parts is None:
        return refuse_grant("not one of our codes")
    code_id, secret = parts
    offered = _find_offered(tx, code_id)
    if offered is None or not secret_matches(secret.reveal(), offered.secret_hash):
        return refuse_grant("unknown code")
    if mismatch := _find_mismatch(offered, client, redirect_uri, code_verifier):
        return refuse_grant(mismatch)
    # Locks from the top: the user (an app session may start), the session, then the code is read again.
    user = lock_user(tx, offered.user_id)
    surplus: list[str] = []
    if makes_app_session(client, offered.scope):
        surplus = lock_surplus(
            tx,
            user_id=offered.user_id,
            client=client,
            parent_id=offered.session_id,
            policy=SessionPolicy.of(settings),
            now=now,
        )
    session = lock_live_session(tx, offered.session_id, settings, now)
    row = run(tx, _READ_UNDER_LOCK, {"code": code_id}).one_or_none()
    if row is None:  # expired long ago, and purged meanwhile
        return refuse_grant("unknown code")
    found, client = _Code(*row[: len(_CODE)]), ClientTerms(*row[len(_CODE) :])
    if found.used_at is not None:
        return _refuse_reuse(tx, offered, found.family_id, settings, now)
    if found.expires_at <= now:
        return refuse_grant("expired code")
    if user is None or user.disabled_at or user.deleted_at or user.epoch != found.user_epoch:
        return refuse_grant("the person's account changed since")
    if session is None:
        return refuse_grant("the session ended since")
    if refusal := _find_changed_client(found, client):
        return refuse_grant(refusal)
    end_surplus(tx, user_id=user.id, client=client, surplus=surplus, settings=settings, now=now)
    issued = _redeem(
        tx, found, client=client, user=user, parent_id=session.id, settings=settings, keyring=keyring, now=now
    )
    claimed = run(tx, _CLAIM, {"code": code_id, "now": now, "family": issued.family_id})
    if claimed.rowcount != 1:  # impossible under the session lock; if it happens, nothing of this may stand
        raise AssertionError("a code was used twice under its session's lock")
    return issued


class _Offered(NamedTuple):
    """What a code says of itself for ever: who may redeem it, whose it is, and what it asks for."""

    secret_hash: bytes
    client_id: str
    user_id: str
    session_id: str
    redirect_uri: str
    redirect_uri_was_sent: bool
    code_challenge: str | None
    scope: tuple[str, ...]


class _Code(NamedTuple):
    """What a code is worth, as it was read under the session's lock."""

    used_at: datetime | None
    expires_at: datetime
    family_id: str | None
    user_epoch: int
    client_epoch: int | None
    scope: tuple[str, ...]
    resources: list[str]
    claims_request: dict[str, Any]
    nonce: str | None
    auth_time: datetime
    amr: list[str]
    acr: str | None
    sender_constraint_key: str | None
    device_name: str
    os_name: str
    agent_name: str
    ip_address: str


_IS_IT = AuthorizationCode.id == bindparam("code", type_=String())
_CODE = tuple(getattr(AuthorizationCode, name) for name in _Code._fields)
_FIND_OFFERED = select(*(getattr(AuthorizationCode, name) for name in _Offered._fields)).where(_IS_IT)
_READ_UNDER_LOCK = select(*_CODE, *CLIENT_TERMS).join(Client, Client.id == AuthorizationCode.client_id).where(_IS_IT)
_CLAIM = (
    update(AuthorizationCode)
    .where(_IS_IT, AuthorizationCode.used_at.is_(None))
    .values(used_at=bindparam("now", type_=UTCDateTime()), family_id=bindparam("family", type_=String()))
)


def _find_offered(tx: Tx, code_id: str) -> _Offered | None:
    row = run(tx, _FIND_OFFERED, {"code": code_id}).one_or_none()
    return None if row is None else _Offered._make(row)


def _find_mismatch(
    code: _Offered, client: ClientTerms, redirect_uri: str | None, code_verifier: str | None
) -> str | None:
    """Why this caller can't be the one the code was meant for. Changes nothing: someone else's try costs nobody."""
    if code.client_id != client.id:
        return "code of another client"
    # RFC 6749 §4.1.3: identical to the one in the authorization request, required if it was sent there.
    if redirect_uri != code.redirect_uri and (redirect_uri is not None or code.redirect_uri_was_sent):
        return "redirect_uri differs"
    if code.code_challenge is None:
        # RFC 9700 §4.8.2: a verifier without a challenge is a downgrade attack.
        return "code_verifier without code_challenge" if code_verifier is not None else None
    if code_verifier is None or not _VERIFIER.match(code_verifier):
        return "code_verifier missing or malformed"
    challenge = base64url(hashlib.sha256(code_verifier.encode("ascii")).digest())  # RFC 7636 §4.6
    return None if hmac.compare_digest(challenge, code.code_challenge) else "code_verifier does not match"


def _find_changed_client(code: _Code, client: ClientTerms) -> str | None:
    """Why the client gets nothing for this code any more, though it was issued for it.

    The client was read under the session's lock, after it was authenticated: whoever disabled it before is seen, and
    whoever does so after waits for us, to end what we give.
    """
    # A version before this one wrote codes without the client's epoch.
    if client.disabled_at is not None or code.client_epoch not in {None, client.epoch}:
        return "the client was disabled since"
    if AUTHORIZATION_CODE_GRANT not in client.grant_types:
        return "the client may no longer use codes"
    if client.sign_in_again_since is not None and code.auth_time < client.sign_in_again_since:
        return "the client takes newer sign-ins only"
    return None


def _redeem(
    tx: Tx,
    code: _Code,
    *,
    client: ClientTerms,
    user: LockedUser,
    parent_id: str,
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> Issued:
    sweep_at = None
    if makes_app_session(client, code.scope):
        session_id = start_app_session(
            tx,
            user_id=user.id,
            parent_id=parent_id,
            client=client,
            auth_time=code.auth_time,
            amr=code.amr,
            acr=code.acr,
            device=Device(code.device_name, code.os_name, code.agent_name, code.ip_address),
            policy=SessionPolicy.today(tx, settings),
            now=now,
        )
        audit.record(
            tx,
            "app_signed_in",
            now=now,
            user_id=user.id,
            client_id=client.id,
            session_id=session_id,
            actor="person",
            ip_address=code.ip_address,
            details={"approved_in": parent_id},
        )
    else:
        session_id = parent_id
        end_overdue_part(tx, user_id=user.id, session_id=parent_id, client=client, settings=settings, now=now)
        by_time = computed_part_end(client, started_at=now, used_at=now)
        sweep_at = by_time.at if by_time else None
    return start_user_family(
        tx,
        authorized=Authorized(*(getattr(code, name) for name in Authorized._fields)),
        client=client,
        user_id=user.id,
        sub=subject_for(user.sub, client),
        session_id=session_id,
        participation=join(tx, session_id=session_id, client_id=client.id, now=now, sweep_at=sweep_at),
        settings=settings,
        keyring=keyring,
        now=now,
    )


def _refuse_reuse(tx: Tx, code: _Offered, family_id: str | None, settings: Settings, now: datetime) -> Refused:
    # RFC 6749 §4.1.2, §10.5: revoke what the first redemption gave; one of the two was not the client.
    family = tx.get(TokenFamily, family_id) if family_id else None
    if family is not None:
        revoke_family(tx, family=family, reason=EndReason.CODE_REUSED, actor="code", settings=settings, now=now)
    audit.record(
        tx,
        "code_reused",
        now=now,
        user_id=code.user_id,
        client_id=code.client_id,
        session_id=code.session_id,
        details={"family": family_id},
    )
    return refuse_grant(EndReason.CODE_REUSED.value)
