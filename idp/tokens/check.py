"""Is this token good *now*? One statement over family, participation, session, user and client (design §2.1).

Serves introspection (RFC 7662) and userinfo (OIDC Core §5.3). "Don't know" is never "yes": an error of the database is
an error, not an answer (I17).
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.orm import aliased
from sqlalchemy.types import BigInteger, String

from idp.db.engine import Tx
from idp.db.models import Client, DeniedAccessToken, Session, SessionClient, TokenFamily, User
from idp.db.types import to_microseconds
from idp.kit.keyring import Keyring
from idp.kit.opaque import secret_matches
from idp.sessions import SessionPolicy, is_live, is_part_live
from idp.settings import Settings
from idp.tokens.families import is_new_enough, turn_of, windows_in_force, windows_of
from idp.tokens.jwts import AccessTokenClaims
from idp.tokens.refresh_tokens import read_refresh_token
from idp.tokens.turns import Turn


@dataclass(frozen=True)
class LiveToken:
    """A token that is good now, and whose it is. `user` is None for client credentials.

    `leeway` and `lost_answer` are those in force for its client, in microseconds.
    """

    family: TokenFamily
    client: Client
    user: User | None
    sid: str | None
    leeway: int
    lost_answer: int


def check_access_token(tx: Tx, *, claims: AccessTokenClaims, settings: Settings, now: datetime) -> LiveToken | None:
    """The family behind verified claims, when everything it hangs on is live and the token itself is not denied."""
    live = _find_live(tx, claims.family_id, settings, now, jti=claims.jti)
    return live if live is not None and live.client.id == claims.client_id else None


def check_refresh_token(tx: Tx, *, token: str, settings: Settings, keyring: Keyring, now: datetime) -> LiveToken | None:
    """The family of a refresh token that would be honoured now. Looking does not change anything."""
    presented = read_refresh_token(token, keyring)
    if presented is None:
        return None
    live = _find_live(tx, presented.family_id, settings, now)
    if live is None or not secret_matches(presented.secret, live.family.secret_hash):
        return None
    windows = windows_of(live.leeway, live.lost_answer)
    turn = turn_of(live.family, live.client, presented.generation, windows=windows, now=now)
    return live if turn in {Turn.ROTATE, Turn.HOLD, Turn.SKIP} else None


def _find_live(
    tx: Tx, family_id: str, settings: Settings, now: datetime, *, jti: str | None = None
) -> LiveToken | None:
    statement = _statement(settings, asks_for_denial=jti is not None)
    row = tx.execute(statement, {"now": to_microseconds(now), "family": family_id, "jti": jti}).one_or_none()
    return None if row is None else LiveToken(*row)


@lru_cache(maxsize=8)
def _statement(settings: Settings, *, asks_for_denial: bool) -> Any:
    """Written once: building the expression costs several times what executing it does."""
    participation, session, user = aliased(SessionClient), aliased(Session), aliased(User)
    moment = bindparam("now", type_=BigInteger())
    denied = select(DeniedAccessToken.jti).where(DeniedAccessToken.jti == bindparam("jti", type_=String())).exists()
    return (
        select(TokenFamily, Client, user, participation.sid, *windows_in_force(settings))
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
            *((~denied,) if asks_for_denial else ()),
        )
    )
