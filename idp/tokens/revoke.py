"""Revoking tokens: exactly what is named, nothing else (RFC 7009; lesson 16).

A refresh token stands for its family. A browser participation outlives its tokens: the RP is still told when the
session ends (lesson 5). An app session is nothing but its token, so it ends with it, through the one path.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from idp import audit
from idp.db.engine import Tx
from idp.db.models import DeniedAccessToken, EndReason, Session, SessionKind, TokenFamily
from idp.db.once import run
from idp.kit.keyring import Keyring
from idp.kit.opaque import secret_matches
from idp.sessions import Actor
from idp.sessions.end import Locked, Targets, end_targets
from idp.settings import Settings
from idp.tokens.refresh_tokens import read_refresh_token

_FAMILY = select(
    TokenFamily.id, TokenFamily.secret_hash, TokenFamily.client_id, TokenFamily.user_id, TokenFamily.session_id
).where(TokenFamily.id == bindparam("family"))
# Session before family, like everywhere (design §9).
_LOCK_SESSION = (
    select(Session.id, Session.kind, Session.client_id, Session.user_id, Session.ended_at)
    .where(Session.id == bindparam("session"))
    .with_for_update(key_share=True)
)
_REVOKE = (
    update(TokenFamily)
    .where(TokenFamily.id == bindparam("family"), TokenFamily.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"), revoke_reason=bindparam("why"))
    .returning(TokenFamily.id)
)
_DENY = insert(DeniedAccessToken)


def revoke_refresh_token(
    tx: Tx, *, token: str, client_id: str, settings: Settings, keyring: Keyring, now: datetime
) -> bool:
    """Revoke the family of a refresh token of any generation, when it belongs to this client. Returns whether it did.

    False tells nothing to the caller's caller: RFC 7009 §2.2 answers 200 either way.
    """
    presented = read_refresh_token(token, keyring)
    if presented is None:
        return False
    family = run(tx, _FAMILY, {"family": presented.family_id}).one_or_none()
    if family is None or not secret_matches(presented.secret, family.secret_hash) or family.client_id != client_id:
        return False
    return revoke_family(
        tx, family=family, reason=EndReason.TOKEN_REVOKED, actor=f"client:{client_id}", settings=settings, now=now
    )


def revoke_family(
    tx: Tx, *, family: TokenFamily | Row[Any], reason: EndReason, actor: str, settings: Settings, now: datetime
) -> bool:
    """Revoke one family; an app session ends with it. Whoever caused it is not told back (design §6).

    Of `family` only what never changes is used: its identifier, and whose it is.
    """
    session = run(tx, _LOCK_SESSION, {"session": family.session_id}).one_or_none() if family.session_id else None
    if run(tx, _REVOKE, {"family": family.id, "why": reason, "now": now}).one_or_none() is None:
        return False
    if session is not None and session.kind is SessionKind.APP and session.ended_at is None:
        end_targets(
            tx,
            session.user_id,
            Targets([Locked(session.id, session.kind, session.client_id)]),
            reason=reason,
            actor=Actor(name=actor, client_id=family.client_id),
            settings=settings,
            now=now,
            tell_applications=False,
        )
    else:
        audit.record(
            tx,
            "token_revoked",
            now=now,
            user_id=family.user_id,
            client_id=family.client_id,
            session_id=family.session_id,
            actor=actor,
            details={"reason": reason, "family": family.id},
        )
    return True


def deny_access_token(
    tx: Tx, *, jti: str, client_id: str, user_id: str | None, expires_at: datetime, now: datetime
) -> None:
    """Refuse one access token at our endpoints from this commit until it expires by itself."""
    try:
        with tx.begin_nested():
            run(tx, _DENY, {"jti": jti, "expires_at": expires_at, "denied_at": now})
    except IntegrityError:
        return  # denied before: the answer is the same
    audit.record(tx, "access_token_revoked", now=now, client_id=client_id, user_id=user_id, actor=f"client:{client_id}")
