"""All settings: typed, from a TOML file (`IDP_CONFIG`) and `IDP_*` environment variables, which win.

Unknown, malformed, contradictory or dangerous values stop the start with the variable's name and the remedy; nothing
else in the house reads the environment. Durations are whole seconds and end in `_lifetime`. docs/settings.md lists
every field, and a test fails when one is missing there.
"""

import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from idp.kit.clear_site_data import refuse_too_much
from idp.kit.opaque import Secret
from idp.kit.uris import is_loopback_host
from idp.kit.wording import is_storable

PREFIX = "IDP_"
MINIMUM_SECRET_LENGTH = 32
LONGEST_LIFETIME = timedelta(days=3650)
_NOT_SETTINGS = {"IDP_CONFIG", "IDP_RUN_FOLDER"}  # the second `idp serve` gives to its children (idp.kit.run_folder)
# Where "not at all" makes sense; any other length of zero would stop sign-ins or make a loop spin.
_MAY_BE_ZERO = {
    "drain_lifetime",
    "jwks_cache_lifetime",
    "lost_answer_lifetime",
    "refresh_leeway_lifetime",
    "signing_key_prepublish_lifetime",
}


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


def load_settings(
    environment: Mapping[str, str] | None = None, *, create_secret: bool = True, **overrides: Any
) -> Settings:
    """Read settings from the TOML file that `IDP_CONFIG` names, then `IDP_*` variables, then `overrides`.

    With the embedded database and no `IDP_SECRET`, a secret is made once in `var_dir` (unless `create_secret` is
    False). Raises `SettingsError`, whose text names the setting and the remedy.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {
        **_read_file(environment.get("IDP_CONFIG")),
        **_read_environment(environment),
        **overrides,
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    if not settings.database_url:
        settings = settings.model_copy(
            update={"database_url": f"sqlite:///{(settings.var_dir / 'idp.sqlite3').absolute()}"}
        )
    if settings.secret is None and settings.is_sqlite:
        settings = settings.model_copy(update={"secret": _embedded_secret(settings.var_dir, create=create_secret)})
    _refuse_dangerous(settings)
    return settings


def _read_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"IDP_CONFIG names {path}, which can't be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS or name.startswith("IDP_TEST_"):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in Settings.model_fields:
            raise SettingsError(
                f"{name} is not a setting. docs/settings.md lists them all; remove it or mend its name."
            )
        values[field] = value
    return values


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = PREFIX + str(problem["loc"][0]).upper() if problem["loc"] else "settings"
        if problem["type"] == "extra_forbidden":
            lines.append(
                f"{name.removeprefix(PREFIX).lower()} (in the file) is not a setting. docs/settings.md lists all."
            )
        else:
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}.")
    return "\n".join(lines)


def _embedded_secret(var_dir: Path, *, create: bool) -> Secret | None:
    path = var_dir / "secret"
    if not path.exists():
        if not create:
            return None
        var_dir.mkdir(parents=True, exist_ok=True)
        temporary = var_dir / f".secret-{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails when another process was first: then its secret is the one
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return Secret(path.read_text().strip())


def _refuse_dangerous(settings: Settings) -> None:
    _check_issuer(settings.issuer)
    _check_mail(settings)
    if settings.secret is None:
        raise SettingsError(
            "IDP_SECRET is not set. Make one with `python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`, "
            "keep it outside the database, and give the same one to every node."
        )
    named = [
        ("IDP_SECRET", settings.secret),
        *(("IDP_SECRET_PREVIOUS", old) for old in settings.secret_previous),
        *(("IDP_SECRET_LEAKED", old) for old in settings.secret_leaked),
    ]
    if settings.metrics_token is not None:
        named.append(("IDP_METRICS_TOKEN", settings.metrics_token))
    for name, secret in named:
        if len(secret.reveal()) < MINIMUM_SECRET_LENGTH:
            raise SettingsError(
                f"{name} is shorter than {MINIMUM_SECRET_LENGTH} characters: choose a random, longer one."
            )
        if not is_storable(secret.reveal()):
            raise SettingsError(f"{name} is not UTF-8 text: choose a random one of letters and digits.")
    for name, secrets_in_use in (("IDP_SECRET", (settings.secret,)), ("IDP_SECRET_PREVIOUS", settings.secret_previous)):
        if set(secrets_in_use) & set(settings.secret_leaked):
            raise SettingsError(f"{name} has a secret that IDP_SECRET_LEAKED calls leaked: take it out of {name}.")
    _check_database_url(settings.database_url)
    _check_lifetimes(settings)
    _check_metrics_listen(settings)


def _check_database_url(url: str) -> None:
    if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise SettingsError(
            "IDP_DATABASE_URL must begin with sqlite:/// or postgresql:// (for example postgresql://idp@db.internal/idp)."
        )
    if url.startswith("sqlite") and url.removeprefix("sqlite:///").partition("?")[0] in {"", ":memory:"}:
        raise SettingsError(
            "IDP_DATABASE_URL must name a file: a database in memory is lost, and every process has its own."
        )
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise SettingsError(
            "IDP_DATABASE_URL is malformed. Write postgresql://user:password@host:port/name, "
            "with special characters of the password percent-encoded."
        ) from None


def _check_metrics_listen(settings: Settings) -> None:
    if not settings.metrics_listen:
        return
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[0-9a-z.-]+):([0-9]{1,5})", settings.metrics_listen)
    if not match or not 1 <= int(match.group(2)) <= 65535:
        raise SettingsError("IDP_METRICS_LISTEN must be host:port, for example 127.0.0.1:9100 or [::1]:9100.")
    if not is_loopback_host(match.group(1).strip("[]")) and settings.metrics_token is None:
        raise SettingsError(
            "IDP_METRICS_LISTEN is open to other machines: set IDP_METRICS_TOKEN, or listen on 127.0.0.1."
        )


def _check_mail(settings: Settings) -> None:
    if not settings.smtp_host:
        return
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", settings.mail_from):
        raise SettingsError(
            "IDP_MAIL_FROM must be the address that mail comes from, for example accounts@example.com, "
            "when IDP_SMTP_HOST is set."
        )
    if settings.smtp_security == "none" and not is_loopback_host(settings.smtp_host):
        raise SettingsError(
            "IDP_SMTP_SECURITY is none for a mail server on another machine: mail would travel in clear. "
            "Use starttls or tls."
        )
    if bool(settings.smtp_username) != (settings.smtp_password is not None):
        raise SettingsError("IDP_SMTP_USERNAME and IDP_SMTP_PASSWORD go together: set both, or neither.")


def _check_lifetimes(settings: Settings) -> None:
    for field in Settings.model_fields:
        value = getattr(settings, field)
        if isinstance(value, timedelta) and value > LONGEST_LIFETIME:
            raise SettingsError(f"IDP_{field.upper()} is over {LONGEST_LIFETIME.days}d, the longest that makes sense.")
        if isinstance(value, timedelta) and not value and field not in _MAY_BE_ZERO:
            raise SettingsError(f"IDP_{field.upper()} must be at least one second.")
    if settings.access_token_lifetime > timedelta(hours=1):
        raise SettingsError(
            "IDP_ACCESS_TOKEN_LIFETIME is over one hour. "
            "An access token outlives a sign-out by its lifetime: use 1h or less."
        )
    if settings.authorization_code_lifetime > timedelta(minutes=10):
        raise SettingsError(
            "IDP_AUTHORIZATION_CODE_LIFETIME is over 10 minutes, the longest that RFC 6749 §4.1.2 advises."
        )
    for shorter, longer in (
        ("browser_idle_lifetime", "browser_absolute_lifetime"),
        ("keep_signed_in_idle_lifetime", "browser_absolute_lifetime"),
        ("app_idle_lifetime", "app_absolute_lifetime"),
        # An attempt that outlives its lease would be made by a second worker at the same time.
        ("delivery_request_lifetime", "delivery_lease_lifetime"),
    ):
        if getattr(settings, shorter) > getattr(settings, longer):
            raise SettingsError(
                f"IDP_{shorter.upper()} is longer than IDP_{longer.upper()}: lower the first or raise the second."
            )


def _check_issuer(issuer: str) -> None:
    try:
        parts = urlsplit(issuer)
        hostname, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingsError("IDP_ISSUER is not a URL. Use for example https://id.example.com") from None
    if parts.scheme not in {"https", "http"} or not hostname:
        raise SettingsError("IDP_ISSUER must be a URL such as https://id.example.com")
    if parts.query or parts.fragment or "?" in issuer or "#" in issuer or "@" in parts.netloc:
        raise SettingsError("IDP_ISSUER must have no query, fragment or user name (OIDC Discovery §3).")
    if not re.fullmatch(r"[!-~]+", issuer) or not issuer.startswith(f"{parts.scheme}://{parts.netloc.lower()}"):
        raise SettingsError(
            "IDP_ISSUER must have no spaces, and scheme and host in lower case: RPs compare it as a string."
        )
    if issuer.endswith("/"):
        raise SettingsError("IDP_ISSUER must not end with a slash: RPs compare it character by character.")
    if parts.scheme == "http" and not is_loopback_host(hostname):
        raise SettingsError("IDP_ISSUER uses http outside this machine: passwords would travel in clear. Use https.")
