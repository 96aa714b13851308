"""`proxy`: the test's PostgreSQL behind a proxy that can misbehave; `behind_proxy`: the application on the far side."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from tests.support.characters import Provider
from tests.support.postgres_proxy import PostgresProxy


@pytest.fixture
def database_backend() -> str:
    """PostgreSQL: there is nothing between a process and an embedded database."""
    return "postgresql"


@pytest.fixture
def proxy(database_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(make_url(database_url)) as proxy:
        yield proxy


@pytest.fixture
def behind_proxy(open_provider: Callable[..., Provider], proxy: PostgresProxy) -> Provider:
    """The application, whose every statement passes the proxy. People and clients are made past it."""
    return open_provider(database_url=proxy.url)


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """Tests configure no logs, and structlog's own way of drawing a traceback takes seconds."""
    with capture_logs():
        yield
