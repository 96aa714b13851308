"""Token families: starting one, the one row for everything issued from a redemption; and what a generation means."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func

from idp.db.engine import Tx
from idp.db.models import (
    AuthorizationCode,
    Client,
    GrantType,
    RefreshRotation,
    Session,
    SessionClient,
    TokenFamily,
    User,
)
from idp.db.types import micros
from idp.kit.identifiers import new_identifier, shard_key_in, shard_key_of
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret, hash_secret
from idp.policy import value_in_force
from idp.settings import Settings
from idp.tokens.issued import (
    CLIENT_SUBJECT_PREFIX,
    Issued,
    access_expiry,
    access_lifetime,
    audience_of,
    issued_from_family,
)
from idp.tokens.refresh_tokens import SECRET_BYTES, RefreshToken, write_refresh_token
from idp.tokens.turns import Generations, Turn, decide
from idp.users import subject_for

REFRESH_GRANT = "refresh_token"
_MICROSECOND = timedelta(microseconds=1)


def start_user_family(
    tx: Tx,
    *,
    code: AuthorizationCode,
    client: Client,
    user: User,
    session: Session,
    participation: SessionClient,
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> Issued:
    """Start the family of a redeemed code in a locked, live session, with a refresh token if the client may refresh."""
    has_refresh = REFRESH_GRANT in client.grant_types
    secret = secrets.token_bytes(SECRET_BYTES)
    family = TokenFamily(
        id=new_identifier(shard_key_in(user.id), now),
        client_id=client.id,
        user_id=user.id,
        session_id=session.id,
        session_client_id=participation.id,
        grant_type=GrantType.AUTHORIZATION_CODE,
        secret_hash=hash_secret(secret) if has_refresh else None,
        generation=1,
        last_used_at=now,
        access_expires_at=access_expiry(now, access_lifetime(client, settings)),
        scope=code.scope,
        resources=audience_of(client, code.resources, settings),
        claims_request=code.claims_request,
        auth_time=code.auth_time,
        amr=code.amr,
        acr=code.acr,
        sender_constraint_key=code.sender_constraint_key,
        started_at=now,
    )
    tx.add(family)
    tx.flush()
    refresh_token: Secret | None = None
    if has_refresh:
        refresh_token = write_refresh_token(RefreshToken(family.id, 1, secret), keyring)
    return issued_from_family(
        family,
        client=client,
        user=user,
        sub=subject_for(user, client),
        sid=participation.sid,
        nonce=code.nonce,
        refresh_token=refresh_token,
        now=now,
        outcome="redeemed",
    )


def issue_client_credentials(
    tx: Tx, *, client: Client, scope: tuple[str, ...], resources: list[str], settings: Settings, now: datetime
) -> Issued:
    """A family without user and without refresh token (RFC 6749 §4.4.3). The client was authenticated in this `tx`."""
    family = TokenFamily(
        id=new_identifier(shard_key_of(client.id), now),
        client_id=client.id,
        grant_type=GrantType.CLIENT_CREDENTIALS,
        generation=1,
        last_used_at=now,
        access_expires_at=access_expiry(now, access_lifetime(client, settings)),
        scope=scope,
        resources=audience_of(client, resources, settings),
        claims_request={},
        amr=[],
        started_at=now,
    )
    tx.add(family)
    tx.flush()
    return issued_from_family(
        family,
        client=client,
        user=None,
        sub=CLIENT_SUBJECT_PREFIX + client.id,
        sid=None,
        nonce=None,
        refresh_token=None,
        now=now,
        outcome="client_credentials",
    )


def is_new_enough() -> ColumnElement[bool]:
    """SQL: whether the joined `Client` still takes the sign-in that a family rests on (`idp policy sign-in-again`)."""
    return micros(TokenFamily.auth_time) >= func.coalesce(micros(Client.sign_in_again_since), 0)


@dataclass(frozen=True)
class Windows:
    """How long after a rotation a token before is answered (`leeway`), and taken for a lost answer (`lost_answer`)."""

    leeway: timedelta
    lost_answer: timedelta


def leeway_in_force(default: timedelta) -> ColumnElement[int]:
    """SQL: the leeway of the joined `Client`, or else the installation's, in microseconds. `default`: the setting."""
    # Zero is a policy too; only null means the installation's.
    decided = value_in_force("refresh_leeway_lifetime", default // _MICROSECOND)
    return func.coalesce(micros(Client.refresh_leeway_lifetime), decided)


def windows_in_force(settings: Settings) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """SQL: leeway and lost-answer window for the joined `Client`: two columns, for `windows_of`."""
    decided = value_in_force("lost_answer_lifetime", settings.lost_answer_lifetime // _MICROSECOND)
    lost_answer = func.coalesce(micros(Client.lost_answer_lifetime), decided)
    return leeway_in_force(settings.refresh_leeway_lifetime), lost_answer


def windows_of(leeway: int, lost_answer: int) -> Windows:
    """What the two columns of `windows_in_force` gave."""
    return Windows(leeway * _MICROSECOND, lost_answer * _MICROSECOND)


def turn_of(family: TokenFamily, client: Client, presented: int, *, windows: Windows, now: datetime) -> Turn:
    """What a genuine token of generation `presented` means for its family under today's policy."""
    return decide(
        Generations(family.generation, family.parent_generation, family.rotated_at),
        presented,
        now=now,
        leeway=windows.leeway,
        lost_answer=windows.lost_answer,
        rotates=client.refresh_rotation is RefreshRotation.ALWAYS,
    )
