"""Finding clients, and recognising one by its secret. Reads only; one statement each."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Select, bindparam, or_, select
from sqlalchemy.types import BigInteger, LargeBinary, String

from idp.db.engine import SingleStatements, Tx
from idp.db.fixed import FixedStatement
from idp.db.models import Client, ClientSecret, RefreshBinding
from idp.db.once import run
from idp.db.types import micros, to_microseconds
from idp.kit.opaque import hash_secret
from idp.kit.wording import is_storable

MAX_CLIENT_ID_LENGTH = 64
# Written once: every request of a client asks it, and building it costs as much as asking.
_BY_ID = select(Client).where(Client.id == bindparam("client", type_=String()), Client.deleted_at.is_(None))
_ENABLED = _BY_ID.where(Client.disabled_at.is_(None))
_BY_SECRET = _ENABLED.join(ClientSecret, ClientSecret.client_id == Client.id).where(
    ClientSecret.secret_hash == bindparam("offered_hash", type_=LargeBinary()),
    or_(ClientSecret.expires_at.is_(None), micros(ClientSecret.expires_at) > bindparam("now", type_=BigInteger())),
)


class ProvenClient(NamedTuple):
    """What the hot paths need to know of an enabled client that proved itself (or, a public one, named itself)."""

    id: str
    token_endpoint_auth_method: str
    grant_types: tuple[str, ...]
    scopes: tuple[str, ...]
    default_resource: str | None
    allowed_resources: list[str]
    resource_identifiers: list[str]
    access_token_lifetime: timedelta | None
    id_token_signed_response_alg: str


class AskingClient(NamedTuple):
    """What a browser's endpoints (authorization, sign-out) and their pages need to know of a client named there."""

    id: str
    name: str
    logo_uri: str | None
    policy_uri: str | None
    tos_uri: str | None
    is_first_party: bool
    token_endpoint_auth_method: str
    grant_types: tuple[str, ...]
    scopes: tuple[str, ...]
    redirect_uris: list[str]
    post_logout_redirect_uris: list[str]
    allowed_resources: list[str]
    requires_pkce: bool
    refresh_binding: RefreshBinding
    sign_in_again_since: datetime | None
    disabled_at: datetime | None


class ClientTerms(NamedTuple):
    """What a client is, may and is granted where a code is redeemed: the columns `CLIENT_TERMS` of one statement."""

    id: str
    name: str
    token_endpoint_auth_method: str
    grant_types: tuple[str, ...]
    id_token_signed_response_alg: str
    subject_type: str
    default_resource: str | None
    access_token_lifetime: timedelta | None
    app_idle_lifetime: timedelta | None
    app_absolute_lifetime: timedelta | None
    participation_idle_lifetime: timedelta | None
    participation_absolute_lifetime: timedelta | None
    app_sessions_per_client: int | None
    sign_in_again_since: datetime | None
    refresh_binding: RefreshBinding
    epoch: int
    disabled_at: datetime | None


CLIENT_TERMS = tuple(getattr(Client, name) for name in ClientTerms._fields)
_TERMS_OF_ENABLED = _ENABLED.with_only_columns(*CLIENT_TERMS)
_TERMS_BY_SECRET = _BY_SECRET.with_only_columns(*CLIENT_TERMS)


def find_client(tx: Tx, client_id: str) -> Client | None:
    """The client of this identifier, disabled ones included (see `Client.disabled_at`), deleted ones not."""
    if not is_client_id(client_id):
        return None
    return tx.scalar(_BY_ID, {"client": client_id})


def find_asking(statements: SingleStatements, client_id: str) -> AskingClient | None:
    """`find_client` for a browser's endpoints: disabled ones included, deleted ones not."""
    if not is_client_id(client_id):
        return None
    found = statements.one_or_none(_asking(statements.dialect), {"client": client_id})
    assert found is None or isinstance(found, AskingClient)
    return found


@lru_cache(maxsize=2)
def _asking(dialect: Dialect) -> FixedStatement:
    columns = [getattr(Client, name) for name in AskingClient._fields]
    return FixedStatement(_BY_ID, columns, dialect, row=AskingClient._make)


def find_enabled(tx: Tx, client_id: str) -> ClientTerms | None:
    """The enabled client of this identifier, whoever asks."""
    if not is_client_id(client_id):
        return None
    return _terms(tx, _TERMS_OF_ENABLED, {"client": client_id})


def authenticate_secret(tx: Tx, client_id: str, secret: str, now: datetime) -> ClientTerms | None:
    """The enabled client to whom `secret` belongs, in one statement; None for every kind of mismatch.

    The secret has 256 random bits, and the database compares its SHA-256: how long that takes says nothing about a
    secret that one could use (idp.kit.opaque).
    """
    if not is_client_id(client_id):
        return None
    return _terms(tx, _TERMS_BY_SECRET, _proof(client_id, secret, now))


def _terms(tx: Tx, statement: Select[*tuple[Any, ...]], values: dict[str, object]) -> ClientTerms | None:
    row = run(tx, statement, values).one_or_none()
    return None if row is None else ClientTerms._make(row)


def prove_client(
    statements: SingleStatements, client_id: str, secret: str | None, now: datetime
) -> ProvenClient | None:
    """`authenticate_secret` for the hot paths. Without a secret: the enabled client of that name, whoever asks."""
    if not is_client_id(client_id):
        return None
    if secret is None:
        found = statements.one_or_none(_fixed(statements.dialect, by_secret=False), {"client": client_id})
    else:
        found = statements.one_or_none(_fixed(statements.dialect, by_secret=True), _proof(client_id, secret, now))
    assert found is None or isinstance(found, ProvenClient)
    return found


def _proof(client_id: str, secret: str, now: datetime) -> dict[str, object]:
    return {"client": client_id, "offered_hash": hash_secret(secret), "now": to_microseconds(now)}


@lru_cache(maxsize=4)
def _fixed(dialect: Dialect, *, by_secret: bool) -> FixedStatement:
    columns = [getattr(Client, name) for name in ProvenClient._fields]
    return FixedStatement(_BY_SECRET if by_secret else _ENABLED, columns, dialect, row=ProvenClient._make)


def list_clients(tx: Tx) -> list[Client]:
    """Every client that is not deleted, by name."""
    return list(tx.scalars(select(Client).where(Client.deleted_at.is_(None)).order_by(Client.name, Client.id)))


def find_id_token_algorithms(tx: Tx) -> frozenset[str]:
    """The algorithms that enabled clients want their ID tokens signed with: each needs a key."""
    return frozenset(
        tx.scalars(
            select(Client.id_token_signed_response_alg)
            .where(Client.deleted_at.is_(None), Client.disabled_at.is_(None))
            .distinct()
        )
    )


def is_client_id(text: str) -> bool:
    """Whether the database may be asked about this identifier at all (PostgreSQL refuses NUL with an error)."""
    return 0 < len(text) <= MAX_CLIENT_ID_LENGTH and is_storable(text)


def resource_identifiers(client: Client | ProvenClient) -> frozenset[str]:
    """The audiences that this client is, as a resource server: it may ask what tokens for them are worth (RFC 7662)."""
    return frozenset(client.resource_identifiers)
