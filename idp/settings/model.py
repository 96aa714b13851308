"""What can be set: names, types and defaults. docs/settings.md lists every field, and a test fails when one is missing.

Durations are whole seconds and end in `_lifetime`; secrets never show in a text of this.
"""

import re
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from idp.kit.clear_site_data import refuse_too_much
from idp.kit.opaque import Secret


class SettingsError(Exception):
    """The settings can't be used. Its text names the setting and says what to do."""


def _split_list(value: object) -> object:
    return [part for part in re.split(r"[\s,]+", value) if part] if isinstance(value, str) else value


def _to_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhd]?)", str(value))
    if not match or isinstance(value, bool):
        raise ValueError("use whole seconds, or a number with s, m, h or d (for example 300, 5m, 28d)")
    return timedelta(seconds=int(match.group(1)) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match.group(2)])


def _to_secret(value: object) -> object:
    return value if isinstance(value, Secret) else Secret(str(value))


def _to_network(value: object) -> object:
    return ip_network(str(value), strict=False)


Duration = Annotated[timedelta, BeforeValidator(_to_duration), PlainSerializer(lambda value: value.total_seconds())]
SecretText = Annotated[Secret, BeforeValidator(_to_secret), PlainSerializer(lambda value: "…")]
SecretList = Annotated[tuple[SecretText, ...], BeforeValidator(_split_list)]
TextList = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_to_network), PlainSerializer(str)]
NetworkList = Annotated[tuple[Network, ...], BeforeValidator(_split_list)]


class Settings(BaseModel):
    """What an operator decides. Build it with `load_settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    issuer: str = "http://localhost:9000"
    var_dir: Path = Path("var")
    database_url: str = ""
    database_pool_size: int = Field(default=10, ge=1, le=200)
    secret: SecretText | None = None
    secret_previous: SecretList = ()
    secret_leaked: SecretList = ()
    trusted_proxies: NetworkList = ()
    outbound_allow: TextList = ()
    outbound_proxy: str = ""
    outbound_ca_bundle: Path | None = None
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_format: str = Field(default="auto", pattern="^(auto|json|text)$")
    access_log: bool = True
    metrics_token: SecretText | None = None
    metrics_listen: str = ""
    readiness_needs_worker: bool = False
    drain_lifetime: Duration = timedelta(seconds=5)

    access_token_lifetime: Duration = timedelta(minutes=5)
    id_token_lifetime: Duration = timedelta(minutes=5)
    authorization_code_lifetime: Duration = timedelta(seconds=60)
    stored_request_lifetime: Duration = timedelta(hours=1)
    browser_idle_lifetime: Duration = timedelta(hours=24)
    keep_signed_in: bool = True
    keep_signed_in_idle_lifetime: Duration = timedelta(days=28)
    browser_absolute_lifetime: Duration = timedelta(days=90)
    app_idle_lifetime: Duration = timedelta(days=30)
    app_absolute_lifetime: Duration = timedelta(days=365)
    app_sessions_per_client: int = Field(default=50, ge=0, le=10_000)
    refresh_leeway_lifetime: Duration = timedelta(seconds=10)
    lost_answer_lifetime: Duration = timedelta(hours=24)
    receipt_lifetime: Duration = timedelta(hours=24)
    clear_site_data: Annotated[TextList, AfterValidator(refuse_too_much)] = ("cache",)
    history_lifetime: Duration = timedelta(days=90)
    audit_lifetime: Duration = timedelta(days=400)
    signing_key_prepublish_lifetime: Duration = timedelta(hours=24)
    jwks_cache_lifetime: Duration = timedelta(minutes=5)

    guesses_per_person: int = Field(default=10, ge=1)
    guesses_per_address: int = Field(default=100, ge=1)
    guess_window_lifetime: Duration = timedelta(minutes=15)
    concurrent_password_checks: int = Field(default=4, ge=1, le=64)

    delivery_deadline_lifetime: Duration = timedelta(hours=24)
    delivery_request_lifetime: Duration = timedelta(seconds=5)
    delivery_lease_lifetime: Duration = timedelta(seconds=30)
    deliveries_at_once: int = Field(default=16, ge=1, le=256)
    deliveries_per_host: int = Field(default=4, ge=1, le=64)
    worker_poll_lifetime: Duration = timedelta(seconds=2)

    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: str = Field(default="starttls", pattern="^(starttls|tls|none)$")
    smtp_username: str = ""
    smtp_password: SecretText | None = None
    mail_from: str = ""

    @property
    def is_sqlite(self) -> bool:
        """Whether the embedded database is used."""
        return self.database_url.startswith("sqlite")

    @property
    def is_loopback_http(self) -> bool:
        """Whether the issuer is plain http on this machine: the only case without Secure cookies."""
        return self.issuer.startswith("http://")

    @property
    def issuer_path(self) -> str:
        """The path part of the issuer: empty, or `/something` without a slash at the end."""
        return urlsplit(self.issuer).path

    @property
    def issuer_origin(self) -> str:
        """Scheme, host and port of the issuer."""
        parts = urlsplit(self.issuer)
        return f"{parts.scheme}://{parts.netloc}"

    def url(self, path: str) -> str:
        """The public address of one of our paths. Only the issuer makes addresses: no Host header ever does."""
        return self.issuer + path

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port of the separate listener for metrics, or None when there is none."""
        if not self.metrics_listen:
            return None
        host, _, port = self.metrics_listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def secret_texts(self) -> tuple[str, ...]:
        """Every secret among the settings, as spelled: what no log line may ever contain."""
        values = [getattr(self, name) for name in type(self).model_fields]
        parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
        found = [part.reveal() for part in parts if isinstance(part, Secret)]
        for url in (self.database_url, self.outbound_proxy):
            with suppress(ValueError):  # not an address at all: whoever uses it refuses it
                password = urlsplit(url).password or ""
                found += [password, unquote(password)]
        return tuple(text for text in dict.fromkeys(found) if text)

    @property
    def known_secret(self) -> Secret:
        """The installation's secret, once `load_settings` has found or demanded it."""
        if self.secret is None:
            raise SettingsError("IDP_SECRET is not set.")
        return self.secret
