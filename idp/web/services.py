"""What an entry needs at hand: settings, clock, database, keys. Built once per process, read by desks, CLI and worker.

Rooms below never see it: they get `tx`, `now` and what else they need as arguments.
"""

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine, create_engine

from idp.db.bounded import REQUEST_SECONDS
from idp.db.engine import Database, engine_options, normalized_url
from idp.keys.store import KeyStore
from idp.kit.addresses import AllowEntry
from idp.kit.clock import Clock, SystemClock
from idp.kit.keyring import Keyring
from idp.kit.outbound import OutboundClient, OutboundPolicy
from idp.sessions import SessionPolicy
from idp.settings import Settings, SettingsError

EXTENSION = "idp"
# Of a web process's connections, for what ends access and what keeps people working (`idp.web.priority`).
KEPT_CONNECTIONS = 2


@dataclass(frozen=True)
class Services:
    """The process's own instances of what is expensive to make or must be one."""

    settings: Settings
    clock: Clock
    database: Database
    keyring: Keyring
    keys: KeyStore
    outbound: OutboundClient
    policy: SessionPolicy


def build_services(settings: Settings, *, clock: Clock | None = None, engine: Engine | None = None) -> Services:
    """Make the services; `engine` is Flask-SQLAlchemy's inside the web application, and made here for commands.

    Raises `SettingsError` when a setting can't be used.
    """
    if engine is None:
        url = normalized_url(settings.database_url)
        database = Database(create_engine(url, **engine_options(url, settings.database_pool_size)))
    else:
        size = settings.database_pool_size
        ordinary = size - min(KEPT_CONNECTIONS, size // 2)
        database = Database(engine, answer_seconds=REQUEST_SECONDS, ordinary=ordinary)
    keyring = Keyring(settings.known_secret, settings.secret_previous, settings.secret_leaked)
    return Services(
        settings=settings,
        clock=clock or SystemClock(),
        database=database,
        keyring=keyring,
        keys=KeyStore(database, keyring),
        outbound=_outbound(settings),
        policy=SessionPolicy.of(settings),
    )


def _outbound(settings: Settings) -> OutboundClient:
    try:
        allow = tuple(AllowEntry.parse(entry) for entry in settings.outbound_allow)
    except ValueError as error:
        raise SettingsError(f"IDP_OUTBOUND_ALLOW: {error}") from None
    try:
        return OutboundClient(
            OutboundPolicy(allow=allow, proxy=settings.outbound_proxy or None, ca_bundle=settings.outbound_ca_bundle)
        )
    except ValueError as error:
        raise SettingsError(f"IDP_OUTBOUND_PROXY or IDP_OUTBOUND_CA_BUNDLE: {error}") from None


def current_services() -> Services:
    """The services of the application that serves this request."""
    services = current_app.extensions[EXTENSION]
    assert isinstance(services, Services)
    return services
