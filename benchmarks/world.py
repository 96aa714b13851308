"""The installation under test: an empty database made ready by `idp init`, its clients, and what requests need."""

import base64
import http.cookiejar
import os
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from benchmarks.population import PASSWORD, Population
from benchmarks.postgres import NotPossible, Postgres
from idp import clients, users
from idp.clients import ClientSpec
from idp.kit.opaque import Secret
from idp.settings import load_settings
from idp.web.services import Services, build_services

REDIRECT = "https://app.example/callback"


@dataclass(frozen=True)
class RegisteredClient:
    """A client and what it authenticates with."""

    id: str
    secret: str | None

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header of a client with a secret."""
        if self.secret is None:
            return {}
        pair = f"{quote_plus(self.id)}:{quote_plus(self.secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


@dataclass
class World:
    """What operations are made of."""

    port: int
    services: Services
    population: Population
    is_quick: bool
    clients: dict[str, RegisteredClient] = field(default_factory=dict)
    applications: list[str] = field(default_factory=list)
    _form: tuple[str, str] | None = None

    def size(self, full: int) -> int:
        """How many of something: a few in quick mode."""
        return max(8, full // 200) if self.is_quick else full

    def form_of_a_page(self) -> tuple[str, str]:
        """A browser's own cookie, and the CSRF token that hangs on it: good for any form of any session."""
        if self._form is None:
            jar = http.cookiejar.CookieJar()
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
            with browser.open(f"http://localhost:{self.port}/login", timeout=30) as page:
                found = re.search(r'name="csrf_token" value="([^"]+)"', page.read().decode())
            if found is None:
                raise NotPossible("The sign-in page has no form token.")
            self._form = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar), found.group(1)
        return self._form


def environment_of(database: Postgres, port: int, folder: Path) -> dict[str, str]:
    """The settings of the provider: what must be said, and nothing else."""
    return {
        "IDP_ISSUER": f"http://localhost:{port}",
        "IDP_DATABASE_URL": database.url,
        "IDP_SECRET": secrets.token_urlsafe(48),
        "IDP_VAR_DIR": str(folder),
    }


@contextmanager
def world(database: Postgres, environment: Mapping[str, str], port: int, *, is_quick: bool) -> Iterator[World]:
    """Set the installation up and register its clients."""
    command = [sys.executable, "-m", "idp.cli", "init"]
    made = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if made.returncode:
        raise NotPossible(f"idp init failed: {made.stderr}")
    services = build_services(load_settings(environment))
    try:
        with database.connection() as connection:
            population = Population(connection, services, users.hash_password(Secret(PASSWORD)))
            found = World(port, services, population, is_quick)
            _register(found)
            yield found
    finally:
        services.database.engine.dispose()


def _register(world: World) -> None:
    """Clients: `rotating` ones rotate at every refresh, `holding` never within the run; the rest is as it comes."""
    app: dict[str, Any] = {"public": True, "redirect_uris": ("http://127.0.0.1/callback",)}
    web: dict[str, Any] = {"redirect_uris": (REDIRECT,), "backchannel_logout_uri": "https://app.example/backchannel"}
    at_once: dict[str, Any] = {"refresh_leeway_lifetime": timedelta(0)}
    specs: dict[str, dict[str, Any]] = {
        "rotating": app | at_once,
        "rotating RS256": app | at_once | {"id_token_signed_response_alg": "RS256"},
        "rotating confidential": web | at_once,
        "holding": app | {"refresh_leeway_lifetime": timedelta(minutes=1)},
        "web": web,
        "service": {"scopes": ("reports:read",)},
    }
    with world.services.database.transaction() as tx:
        for name, spec in specs.items():
            created = clients.create_client(tx, spec=ClientSpec(name=name, **spec), now=world.services.clock.now())
            if isinstance(created, list):
                raise NotPossible(f"The client {name} can't be registered: {created}")
            secret = created.secret.reveal() if created.secret else None
            world.clients[name] = RegisteredClient(created.client.id, secret)
    world.applications = world.population.clients_like(world.clients["web"].id, world.size(1000))
