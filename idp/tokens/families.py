"""Token families: starting one, the one row for everything issued from a redemption; and what a generation means."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Dialect, bindparam, func, insert, literal_column

from idp.clients import ClientTerms, ProvenClient
from idp.db.engine import SingleStatements, Tx
from idp.db.fixed import FixedStatement
from idp.db.models import Client, GrantType, RefreshRotation, TokenFamily
from idp.db.once import run
from idp.db.types import micros
from idp.kit.identifiers import new_identifier, shard_key_in, shard_key_of
from idp.kit.keyring import Keyring
from idp.kit.opaque import hash_secret, new_secret
from idp.policy import value_in_force
from idp.sessions import Participation
from idp.settings import Settings
from idp.tokens.issued import (
    CLIENT_SUBJECT_PREFIX,
    Issued,
    access_expiry,
    access_lifetime,
    audience_of,
)
from idp.tokens.refresh_tokens import SECRET_BYTES, RefreshToken, write_refresh_token
from idp.tokens.turns import Generations, Turn, decide

REFRESH_GRANT = "refresh_token"
_MICROSECOND = timedelta(microseconds=1)


class Authorized(NamedTuple):
    """What a person authorized: columns of the code, which its family keeps."""

    scope: tuple[str, ...]
    resources: list[str]
    claims_request: dict[str, Any]
    nonce: str | None
    auth_time: datetime
    amr: list[str]
    acr: str | None
    sender_constraint_key: str | None


_INSERT = insert(TokenFamily)


def start_user_family(
    tx: Tx,
    *,
    authorized: Authorized,
    client: ClientTerms,
    user_id: str,
    sub: str,
    session_id: str,
    participation: Participation,
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> Issued:
    """Start the family of a redeemed code in a locked, live session, with a refresh token if the client may refresh.

    `sub` is what this client knows the person by.
    """
    family_id = new_identifier(shard_key_in(user_id), now)
    access_expires_at = access_expiry(now, access_lifetime(client, settings))
    resources = audience_of(client, authorized.resources, settings)
    secret = secrets.token_bytes(SECRET_BYTES) if REFRESH_GRANT in client.grant_types else None
    run(
        tx,
        _INSERT,
        {
            "id": family_id,
            "client_id": client.id,
            "user_id": user_id,
            "session_id": session_id,
            "session_client_id": participation.id,
            "grant_type": GrantType.AUTHORIZATION_CODE,
            "secret_hash": hash_secret(secret) if secret is not None else None,
            "generation": 1,
            "last_used_at": now,
            "access_expires_at": access_expires_at,
            "scope": authorized.scope,
            "resources": resources,
            "claims_request": authorized.claims_request,
            "auth_time": authorized.auth_time,
            "amr": authorized.amr,
            "acr": authorized.acr,
            "sender_constraint_key": authorized.sender_constraint_key,
            "started_at": now,
        },
    )
    return Issued(
        family_id=family_id,
        jti=new_secret(128).reveal(),
        client_id=client.id,
        sub=sub,
        user_id=user_id,
        session_id=session_id,
        sid=participation.sid,
        scope=authorized.scope,
        resources=resources,
        auth_time=authorized.auth_time,
        amr=authorized.amr,
        acr=authorized.acr,
        nonce=authorized.nonce,
        claims_request=authorized.claims_request,
        issued_at=now,
        access_expires_at=access_expires_at,
        refresh_token=write_refresh_token(RefreshToken(family_id, 1, secret), keyring) if secret is not None else None,
        id_token_alg=client.id_token_signed_response_alg,
        outcome="redeemed",
    )


def issue_client_credentials(
    statements: SingleStatements,
    *,
    client: ProvenClient,
    scope: tuple[str, ...],
    resources: list[str],
    settings: Settings,
    now: datetime,
) -> Issued:
    """A family without user and refresh token (RFC 6749 §4.4.3), for a client proven just now. One statement."""
    granted = audience_of(client, resources, settings)
    expires_at = access_expiry(now, access_lifetime(client, settings))
    family_id = new_identifier(shard_key_of(client.id), now)
    statements.one_or_none(
        _family_of_client(statements.dialect),
        {
            "id": family_id,
            "client_id": client.id,
            "last_used_at": now,
            "access_expires_at": expires_at,
            "scope": scope,
            "resources": granted,
            "started_at": now,
        },
    )
    return Issued(
        family_id=family_id,
        jti=new_secret(128).reveal(),
        client_id=client.id,
        sub=CLIENT_SUBJECT_PREFIX + client.id,
        user_id=None,
        session_id=None,
        sid=None,
        scope=scope,
        resources=granted,
        auth_time=None,
        amr=[],
        acr=None,
        nonce=None,
        claims_request={},
        issued_at=now,
        access_expires_at=expires_at,
        refresh_token=None,
        id_token_alg=client.id_token_signed_response_alg,
        outcome="client_credentials",
    )


@lru_cache(maxsize=2)
def _family_of_client(dialect: Dialect) -> FixedStatement:
    given = ("id", "client_id", "last_used_at", "access_expires_at", "scope", "resources", "started_at")
    table = TokenFamily.__table__
    values = {name: bindparam(name, type_=table.c[name].type) for name in given}
    constants = {
        "grant_type": GrantType.CLIENT_CREDENTIALS,
        "generation": 1,
        "claims_request": literal_column("'{}'"),
        "amr": literal_column("'[]'"),
    }
    return FixedStatement(insert(TokenFamily).values(**values, **constants), (TokenFamily.id,), dialect)


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
