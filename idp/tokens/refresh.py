"""Refreshing: one small UPDATE when all is well, and a second transaction under the session's lock when it is not.

*Rotate* and *hold* (`idp.tokens.turns`) are one autocommitted statement that re-checks family, participation,
session, user and client, and records the expiry of the access token it hands out. When it finds nothing, that
transaction is over; *skip*, *reuse* and *ahead* lock the session first, in a new one (in one transaction the two lock
orders deadlock). This is the one exception to "one transaction per entry" (design §5, §9; docs/adr/0003).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from idp import audit, mail
from idp.db.engine import Database, DatabaseBusy, Tx
from idp.db.models import Client, EndReason, Session, SessionKind, TokenFamily
from idp.db.types import from_microseconds
from idp.kit.keyring import Keyring
from idp.kit.opaque import new_secret, secret_matches
from idp.sessions import REFRESH_TOUCH_INTERVAL, Actor, end_participation, touch
from idp.settings import Settings
from idp.tokens.families import turn_of, windows_of
from idp.tokens.issued import Issued, Refused, refuse_grant
from idp.tokens.refresh_tokens import RefreshToken, read_refresh_token, write_refresh_token
from idp.tokens.rotation import live_under_lock, rotate_or_hold, skip, under_lock
from idp.tokens.turns import Turn

log = structlog.get_logger(__name__)

# So many words of a scope the one statement compares. Each number of them is a statement of its own, kept by us and, as
# prepared, by each connection's server: whoever sends a request must not choose how many, nor how large, those are.
_MOST_WORDS = 8


@dataclass(frozen=True)
class _Presented:
    """One presentation of one token, against one moment."""

    token: RefreshToken
    client_id: str
    is_authenticated: bool
    scope: tuple[str, ...] | None
    resources: tuple[str, ...]
    now: datetime


def refresh(
    database: Database,
    *,
    token: str,
    client_id: str,
    is_authenticated: bool = False,
    scope: tuple[str, ...] | None,
    resources: Sequence[str] = (),
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> Issued | Refused:
    """Exchange a refresh token (RFC 6749 §6). `is_authenticated` False: the caller only named the client, unproved.

    Then the client must be a public one, which the same statement checks: nobody reads the client beforehand.
    `scope` and `resources` narrow the access token of this answer only. Everything is re-checked as of `now`; the
    absolute end and `auth_time` never move. A return of `Issued` means that the state behind it is committed.
    """
    genuine = read_refresh_token(token, keyring)
    if genuine is None:
        return refuse_grant("not one of our refresh tokens")
    presented = _Presented(genuine, client_id, is_authenticated, scope, tuple(dict.fromkeys(resources)), now)
    for _ in range(2):
        row = None
        is_small = len(scope or ()) <= _MOST_WORDS
        # Before the one statement, which would rotate: the answer to a wrong resource carries no successor.
        if (is_small and not resources) or _was_granted(database, presented):
            with database.autocommit() as statements:
                row = rotate_or_hold(
                    statements,
                    genuine,
                    client_id=client_id,
                    is_authenticated=is_authenticated,
                    scope=scope if is_small else None,
                    settings=settings,
                    now=now,
                    is_sqlite=database.is_sqlite,
                )
        if row is not None:
            issued = _issue(row, presented, keyring)
            _touch_session(database, row, now)
            return issued
        with database.transaction() as tx:
            outcome = _settle_under_lock(tx, presented, settings, keyring)
        if outcome is not None:
            return outcome
        # Another presentation changed the family between our two transactions: it is rotate or hold after all.
    return refuse_grant("the family kept changing")


def _was_granted(database: Database, presented: _Presented) -> bool:
    """Whether scope and resources that are asked for are among the family's, which never change (RFC 8707 §2.2)."""
    query = select(TokenFamily.scope, TokenFamily.resources).where(TokenFamily.id == presented.token.family_id)
    with database.reading() as tx:
        row = tx.execute(query).one_or_none()
    return row is not None and set(presented.scope or ()) <= set(row[0]) and set(presented.resources) <= set(row[1])


def _issue(row: Any, presented: _Presented, keyring: Keyring, outcome: str | None = None) -> Issued:
    granted = presented.scope if presented.scope is not None else row.family_scope
    if outcome is None:
        is_next = row.generation == presented.token.generation + 1 and row.rotated_at == presented.now
        outcome = "rotated" if is_next else "held"
    return Issued(
        family_id=row.id,
        jti=new_secret(128).reveal(),
        client_id=presented.client_id,
        sub=row.sub,
        user_id=row.user_id,
        session_id=row.session_id,
        sid=row.sid,
        # Rights never grow (I10), and what the client lost since is gone.
        scope=tuple(word for word in granted if word in row.client_scopes),
        resources=list(presented.resources or row.resources),
        auth_time=row.auth_time,
        amr=list(row.amr),
        acr=row.acr,
        nonce=None,  # OIDC Core §12.2: a refreshed ID token needs none
        claims_request=row.claims_request,
        issued_at=presented.now,
        access_expires_at=from_microseconds(row.exp),
        refresh_token=write_refresh_token(presented.token.of_generation(row.generation), keyring),
        id_token_alg=row.id_token_signed_response_alg,
        outcome=outcome,
    )


def _touch_session(database: Database, row: Any, now: datetime) -> None:
    """Count the refresh as activity, at most hourly, after the rotation and never in its transaction (design §5)."""
    counts = row.kind is SessionKind.APP or row.refresh_extends_session
    if not counts or now - row.last_active_at < REFRESH_TOUCH_INTERVAL:
        return
    try:
        with database.transaction() as tx:
            touch(tx, session_id=row.session_id, now=now)
    except (SQLAlchemyError, DatabaseBusy):
        # The tokens are committed and the family knows when it was used: the answer must not be lost for this.
        log.warning("session_not_touched", session_id=row.session_id)


def _settle_under_lock(tx: Tx, presented: _Presented, settings: Settings, keyring: Keyring) -> Issued | Refused | None:
    """What to do when the one statement found nothing. None: try it again. The caller commits in every case."""
    token, now = presented.token, presented.now
    seen = tx.get(TokenFamily, token.family_id)
    if seen is None or not secret_matches(token.secret, seen.secret_hash):
        return refuse_grant("unknown family")
    if seen.client_id != presented.client_id:
        # The family is left as it was: its owner did nothing wrong (I9).
        _audit(tx, "refresh_wrong_client", seen, now, presented_by=presented.client_id)
        return refuse_grant("token of another client")
    # Session before family: the order of every end.
    tx.execute(select(Session.id).where(Session.id == seen.session_id).with_for_update(key_share=True))
    row = tx.execute(
        live_under_lock(settings, is_authenticated=presented.is_authenticated), under_lock(token.family_id, now)
    ).one_or_none()
    if row is None:
        return refuse_grant("family, session, person or client is no longer live")
    family, client, leeway, lost_answer = row
    turn = turn_of(family, client, token.generation, windows=windows_of(leeway, lost_answer), now=now)
    # Before whatever else is wrong with the request: a scope too wide must not hide a theft.
    if turn in {Turn.REUSE, Turn.AHEAD}:
        reason = EndReason.REFRESH_TOKEN_REUSE if turn is Turn.REUSE else EndReason.REFRESH_TOKEN_AHEAD
        return _refuse_and_end(tx, family, presented, reason, settings)
    if presented.scope is not None and not set(presented.scope) <= set(family.scope):
        return Refused("invalid_scope", "The scope is wider than what was granted.", "scope wider than the grant")
    if not set(presented.resources) <= set(family.resources):
        return Refused("invalid_target", "The resource is malformed or not allowed here.", "resource not in the grant")
    return _skip(tx, family, presented, settings, keyring) if turn is Turn.SKIP else None


def _skip(tx: Tx, family: TokenFamily, presented: _Presented, settings: Settings, keyring: Keyring) -> Issued:
    """The parent again, long after: its successor never arrived. That one is from now on reuse."""
    now = presented.now
    row = skip(tx.connection(), family.id, settings=settings, now=now)
    _audit(tx, "refresh_skipped", family, now, presented=presented.token.generation, was_live=family.generation)
    return _issue(row, presented, keyring, outcome="skipped")


def _refuse_and_end(
    tx: Tx, family: TokenFamily, presented: _Presented, reason: EndReason, settings: Settings
) -> Refused:
    """Reuse: two hold what one should. Ahead: the database was restored, or the server secret leaked. End it."""
    assert family.user_id is not None and family.session_id is not None
    end_participation(
        tx,
        user_id=family.user_id,
        session_id=family.session_id,
        client_id=family.client_id,
        reason=reason,
        actor=Actor(name="refresh token", client_id=family.client_id),
        settings=settings,
        now=presented.now,
    )
    client = tx.get(Client, family.client_id)
    session = tx.get(Session, family.session_id)
    letter = mail.old_token_used(
        client_name=client.name if client else "",
        is_app=session is not None and session.kind is SessionKind.APP,
        now=presented.now,
        settings=settings,
    )
    mail.enqueue_mail(tx, user_id=family.user_id, letter=letter, settings=settings, now=presented.now)
    kind = "refresh_reused" if reason is EndReason.REFRESH_TOKEN_REUSE else "refresh_ahead"
    _audit(tx, kind, family, presented.now, presented=presented.token.generation, live=family.generation)
    log.warning(kind, family_id=family.id, client_id=family.client_id, session_id=family.session_id)
    return refuse_grant(reason.value)


def _audit(tx: Tx, kind: str, family: TokenFamily, now: datetime, **details: Any) -> None:
    audit.record(
        tx,
        kind,
        now=now,
        user_id=family.user_id,
        client_id=family.client_id,
        session_id=family.session_id,
        actor="client",
        details={"family": family.id, **details},
    )
