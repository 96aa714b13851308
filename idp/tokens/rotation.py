"""The one statement of a refresh: *rotate* and *hold* of `idp.tokens.turns` as SQL, with every right re-checked.

Written once per process and shape, with the moment and the token as parameters: building the expression costs several
times what executing it does. `idp.tokens.refresh` says when it is used; the tests hold it against the pure table.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Dialect,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.types import BigInteger, LargeBinary, String

from idp.db.fixed import FixedStatement, SingleStatements
from idp.db.models import Client, RefreshRotation, Session, SessionClient, TokenFamily, User
from idp.db.types import has_word, micros, to_microseconds
from idp.sessions import SessionPolicy, is_live, is_part_live
from idp.settings import Settings
from idp.tokens.families import REFRESH_GRANT, is_new_enough, leeway_in_force, windows_in_force
from idp.tokens.issued import OFFLINE_ACCESS
from idp.tokens.refresh_tokens import RefreshToken

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Terms:
    """What the settings say about refreshing; part of a statement's shape."""

    policy: SessionPolicy
    leeway: timedelta
    access_token_lifetime: timedelta


@lru_cache(maxsize=8)
def _terms_of(settings: Settings) -> Terms:
    return Terms(SessionPolicy.of(settings), settings.refresh_leeway_lifetime, settings.access_token_lifetime)


_COLUMNS = (
    TokenFamily.id,
    TokenFamily.session_id,
    TokenFamily.generation,
    TokenFamily.rotated_at,
    TokenFamily.scope.label("family_scope"),
    TokenFamily.resources,
    TokenFamily.claims_request,
    TokenFamily.auth_time,
    TokenFamily.amr,
    TokenFamily.acr,
    SessionClient.sid,
    Session.kind,
    Session.last_active_at,
    User.id.label("user_id"),
    User.sub,
    Client.scopes.label("client_scopes"),
    Client.access_token_lifetime,
    Client.id_token_signed_response_alg,
    Client.refresh_extends_session,
)


def rotate_or_hold(
    statements: SingleStatements,
    token: RefreshToken,
    *,
    client_id: str,
    is_authenticated: bool,
    scope: tuple[str, ...] | None,
    settings: Settings,
    now: datetime,
    is_sqlite: bool,
) -> Any:
    """Rotate or hold. Returns the joined row after the update with `exp`, or None when it is neither of the two."""
    terms = _terms_of(settings)
    words = scope or ()
    parameters = {
        **_moments(now),
        "family": token.family_id,
        "offered_hash": token.secret_hash,
        "presented": token.generation,
        "client": client_id,
        **{f"word_{place}": f" {word} " for place, word in enumerate(words)},
    }
    statement = _statement(
        statements.dialect, terms, returns_all=not is_sqlite, is_authenticated=is_authenticated, words=len(words)
    )
    changed = statements.one_or_none(statement, parameters)
    if changed is None or not is_sqlite:
        return changed
    # SQLite returns only the target's columns; one SELECT in the same transaction fetches the rest.
    return statements.one_or_none(_fixed_row(statements.dialect, terms), parameters)


@lru_cache(maxsize=64)
def _statement(
    dialect: Dialect, terms: Terms, *, returns_all: bool, is_authenticated: bool, words: int
) -> FixedStatement:
    moment, presented = _parameter("now"), _parameter("presented")
    leeway = leeway_in_force(terms.leeway)
    # A `rotated_at` in the future (a clock stepped back) counts as just now: elapsed time is never negative.
    is_recent = and_(TokenFamily.rotated_at.is_not(None), micros(TokenFamily.rotated_at) >= moment - leeway)
    is_rotation = and_(
        TokenFamily.generation == presented,
        Client.refresh_rotation == RefreshRotation.ALWAYS,
        # Not `NOT is_recent`: with a NULL inside it would never fire.
        or_(TokenFamily.rotated_at.is_(None), micros(TokenFamily.rotated_at) < moment - leeway),
    )
    expiry = _expiry(terms)
    statement = (
        update(TokenFamily)
        .where(
            TokenFamily.id == bindparam("family", type_=String()),
            TokenFamily.secret_hash == bindparam("offered_hash", type_=LargeBinary()),
            TokenFamily.client_id == bindparam("client", type_=String()),
            TokenFamily.revoked_at.is_(None),
            TokenFamily.sender_constraint_key.is_(None),  # a bearer presentation of a bound token is no proof
            or_(
                TokenFamily.generation == presented,
                and_(TokenFamily.parent_generation == presented, is_recent),
            ),
            *everything_is_live(moment, terms.policy),
            *is_entitled(is_authenticated=is_authenticated),
            *(has_word(TokenFamily.scope, bindparam(f"word_{place}", type_=String())) for place in range(words)),
        )
        .values(
            generation=case((is_rotation, TokenFamily.generation + 1), else_=TokenFamily.generation),
            parent_generation=case((is_rotation, TokenFamily.generation), else_=TokenFamily.parent_generation),
            rotated_at=case((is_rotation, moment), else_=micros(TokenFamily.rotated_at)),
            access_expires_at=_later(TokenFamily.access_expires_at, expiry),
            last_used_at=_later(TokenFamily.last_used_at, moment),
        )
    )
    returned = (*_COLUMNS, expiry.label("exp")) if returns_all else (TokenFamily.id,)
    return FixedStatement(statement, returned, dialect)


@lru_cache(maxsize=8)
def _fixed_row(dialect: Dialect, terms: Terms) -> FixedStatement:
    return FixedStatement(_whole_row(terms), (*_COLUMNS, _expiry(terms).label("exp")), dialect)


@lru_cache(maxsize=8)
def _whole_row(terms: Terms) -> Any:
    """The row that `rotate_or_hold` returns, read by itself; takes the parameters `family` and `second`."""
    return select(*_COLUMNS, _expiry(terms).label("exp")).where(
        TokenFamily.id == bindparam("family", type_=String()), *_joined()
    )


@lru_cache(maxsize=8)
def live_under_lock(settings: Settings, *, is_authenticated: bool) -> Select[TokenFamily, Client, int, int]:
    """Locks a family that is live with everything it hangs on: family, client, and `windows_in_force` of today.

    Takes the parameters of `under_lock`. Made once: the expression costs more than sending it does.
    """
    return (
        select(TokenFamily, Client, *windows_in_force(settings))
        .where(
            TokenFamily.id == bindparam("family", type_=String()),
            TokenFamily.revoked_at.is_(None),
            TokenFamily.sender_constraint_key.is_(None),
            *everything_is_live(_parameter("now"), SessionPolicy.of(settings)),
            *is_entitled(is_authenticated=is_authenticated),
        )
        .with_for_update(key_share=True, of=TokenFamily)
        .execution_options(populate_existing=True)
    )


def under_lock(family_id: str, now: datetime) -> dict[str, Any]:
    """The parameters of what is asked about one family at one moment."""
    return {**_moments(now), "family": family_id}


def skip(connection: Connection, family_id: str, *, settings: Settings, now: datetime) -> Any:
    """Make a successor of the live token without touching the parent; returns the joined row with `exp`.

    The caller holds the locks of session and family and has decided that it is a skip.
    """
    terms, given = _terms_of(settings), under_lock(family_id, now)
    connection.execute(_successor(terms), given)
    return connection.execute(_whole_row(terms), given).one()


@lru_cache(maxsize=8)
def _successor(terms: Terms) -> Update:
    now = _parameter("now")
    return (
        update(TokenFamily)
        .where(TokenFamily.id == bindparam("family", type_=String()), Client.id == TokenFamily.client_id)
        .values(
            generation=TokenFamily.generation + 1,
            rotated_at=now,
            access_expires_at=_later(TokenFamily.access_expires_at, _expiry(terms)),
            last_used_at=_later(TokenFamily.last_used_at, now),
        )
    )


def _expiry(terms: Terms) -> Any:
    """SQL: the `exp` of the access token of this answer, in whole seconds: what the row records, the JWT says."""
    default = terms.access_token_lifetime // _MICROSECOND
    return _parameter("second") + func.coalesce(micros(Client.access_token_lifetime), default)


def everything_is_live(moment: Any, policy: SessionPolicy) -> tuple[Any, ...]:
    """Joins to, and rights of, participation, session, user and client: as of today (lessons 13, 14)."""
    return (
        *_joined(),
        SessionClient.ended_at.is_(None),
        is_part_live(moment),
        is_live(moment, policy, client=Client),
        is_new_enough(),
        User.disabled_at.is_(None),
        User.deleted_at.is_(None),
        Client.disabled_at.is_(None),
        Client.deleted_at.is_(None),
        has_word(Client.grant_types, REFRESH_GRANT),
        # A client that lost offline access loses the tokens that it gave.
        or_(~has_word(TokenFamily.scope, OFFLINE_ACCESS), has_word(Client.scopes, OFFLINE_ACCESS)),
    )


def is_entitled(*, is_authenticated: bool) -> tuple[Any, ...]:
    """RFC 6749 §6: a client that has a secret must have proved it; leaving it out must not make it a public one."""
    return () if is_authenticated else (Client.token_endpoint_auth_method == "none",)


def _later(column: Any, candidate: Any) -> Any:
    """SQL: the later of a moment column and a candidate."""
    return case((micros(column) < candidate, candidate), else_=micros(column))


def _joined() -> tuple[Any, ...]:
    return (
        SessionClient.id == TokenFamily.session_client_id,
        Session.id == TokenFamily.session_id,
        User.id == TokenFamily.user_id,
        Client.id == TokenFamily.client_id,
    )


def _parameter(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


def _moments(now: datetime) -> dict[str, int]:
    """`now`, and its whole second: JWTs count in seconds, and `exp` must not be later than what the row records."""
    return {"now": to_microseconds(now), "second": to_microseconds(now.replace(microsecond=0))}
