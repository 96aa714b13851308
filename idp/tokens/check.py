"""Is this token good *now*? One statement over family, participation, session, user and client (design §2.1).

Serves introspection (RFC 7662) and userinfo (OIDC Core §5.3). "Don't know" is never "yes": an error of the database is
an error, not an answer (I17).
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Dialect, and_, bindparam, or_, select
from sqlalchemy.orm import aliased
from sqlalchemy.types import BigInteger, LargeBinary, String

from idp.db.engine import SingleStatements
from idp.db.fixed import FixedStatement
from idp.db.models import Client, DeniedAccessToken, RefreshRotation, Session, SessionClient, TokenFamily, User
from idp.db.types import to_microseconds
from idp.kit.keyring import Keyring
from idp.sessions import SessionPolicy, is_live, is_part_live
from idp.settings import Settings
from idp.tokens.families import is_new_enough, windows_in_force
from idp.tokens.jwts import AccessTokenClaims
from idp.tokens.refresh_tokens import read_refresh_token
from idp.tokens.turns import Generations, Turn, decide
from idp.users.claims import PersonClaims

_MICROSECOND = timedelta(microseconds=1)


class LiveToken(NamedTuple):
    """A token that is good now: its family, its client, and whose it is. `sub` is None for client credentials.

    Registration admits no other subject type than `public`, so `sub` is what `idp.users.subject_for` says.
    `leeway` and `lost_answer` are those in force for its client, in microseconds. The last five are what is known about
    the person; `person` has them together.
    """

    family_id: str
    generation: int
    parent_generation: int | None
    rotated_at: datetime | None
    started_at: datetime
    scope: tuple[str, ...]
    claims_request: dict[str, Any]
    auth_time: datetime | None
    acr: str | None
    client_id: str
    client_scopes: tuple[str, ...]
    refresh_rotation: RefreshRotation
    sid: str | None
    leeway: int
    lost_answer: int
    sub: str | None
    username: str | None
    email: str | None
    email_verified_at: datetime | None
    claims: dict[str, Any] | None
    claims_updated_at: datetime | None

    @property
    def person(self) -> PersonClaims | None:
        """What may be told about the person; None for client credentials."""
        if self.claims_updated_at is None:
            return None
        return PersonClaims(
            self.username, self.email, self.email_verified_at, self.claims or {}, self.claims_updated_at
        )


def check_access_token(
    statements: SingleStatements, *, claims: AccessTokenClaims, settings: Settings, now: datetime
) -> LiveToken | None:
    """The family behind verified claims, when everything it hangs on is live and the token itself is not denied."""
    given = {"now": to_microseconds(now), "family": claims.family_id, "jti": claims.jti, "client": claims.client_id}
    return _find_live(statements, _access_token_statement(statements.dialect, settings), given)


def check_refresh_token(
    statements: SingleStatements, *, token: str, settings: Settings, keyring: Keyring, now: datetime
) -> LiveToken | None:
    """The family of a refresh token that would be honoured now. Looking does not change anything."""
    presented = read_refresh_token(token, keyring)
    if presented is None:
        return None
    given = {"now": to_microseconds(now), "family": presented.family_id, "offered_hash": presented.secret_hash}
    live = _find_live(statements, _refresh_token_statement(statements.dialect, settings), given)
    if live is None:
        return None
    turn = decide(
        Generations(live.generation, live.parent_generation, live.rotated_at),
        presented.generation,
        now=now,
        leeway=live.leeway * _MICROSECOND,
        lost_answer=live.lost_answer * _MICROSECOND,
        rotates=live.refresh_rotation is RefreshRotation.ALWAYS,
    )
    return live if turn in {Turn.ROTATE, Turn.HOLD, Turn.SKIP} else None


def _find_live(statements: SingleStatements, statement: FixedStatement, given: dict[str, object]) -> LiveToken | None:
    found = statements.one_or_none(statement, given)
    assert found is None or isinstance(found, LiveToken)
    return found


@lru_cache(maxsize=8)
def _access_token_statement(dialect: Dialect, settings: Settings) -> FixedStatement:
    denied = select(DeniedAccessToken.jti).where(DeniedAccessToken.jti == bindparam("jti", type_=String())).exists()
    return _fixed(dialect, settings, ~denied, TokenFamily.client_id == bindparam("client", type_=String()))


@lru_cache(maxsize=8)
def _refresh_token_statement(dialect: Dialect, settings: Settings) -> FixedStatement:
    # A hash of 128 random bits: how long the database compares says nothing about a secret that one could use.
    return _fixed(dialect, settings, TokenFamily.secret_hash == bindparam("offered_hash", type_=LargeBinary()))


def _fixed(dialect: Dialect, settings: Settings, *conditions: ColumnElement[bool]) -> FixedStatement:
    participation, session, user = aliased(SessionClient), aliased(Session), aliased(User)
    moment = bindparam("now", type_=BigInteger())
    leeway, lost_answer = windows_in_force(settings)
    columns = (
        TokenFamily.id,
        TokenFamily.generation,
        TokenFamily.parent_generation,
        TokenFamily.rotated_at,
        TokenFamily.started_at,
        TokenFamily.scope,
        TokenFamily.claims_request,
        TokenFamily.auth_time,
        TokenFamily.acr,
        Client.id.label("client_id"),
        Client.scopes.label("client_scopes"),
        Client.refresh_rotation,
        participation.sid,
        leeway.label("leeway"),
        lost_answer.label("lost_answer"),
        user.sub,
        user.username,
        user.email,
        user.email_verified_at,
        user.claims,
        user.claims_updated_at,
    )
    statement = (
        select(TokenFamily)
        .select_from(TokenFamily)
        .join(Client, Client.id == TokenFamily.client_id)
        .outerjoin(participation, participation.id == TokenFamily.session_client_id)
        .outerjoin(session, session.id == TokenFamily.session_id)
        .outerjoin(user, user.id == TokenFamily.user_id)
        .where(
            TokenFamily.id == bindparam("family", type_=String()),
            TokenFamily.revoked_at.is_(None),
            Client.disabled_at.is_(None),
            Client.deleted_at.is_(None),
            or_(
                TokenFamily.user_id.is_(None),
                and_(
                    participation.ended_at.is_(None),
                    is_part_live(moment, participation=participation, session=session),
                    is_live(moment, SessionPolicy.of(settings), session=session, client=Client),
                    is_new_enough(),
                    user.disabled_at.is_(None),
                    user.deleted_at.is_(None),
                ),
            ),
            *conditions,
        )
    )
    return FixedStatement(statement, columns, dialect, row=LiveToken._make)
