"""Settings that are each well formed, and together contradictory or dangerous: they stop the start.

Every refusal names the variable and the remedy.
"""

import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

from idp.kit.uris import is_loopback_host
from idp.kit.wording import is_storable
from idp.settings.model import Settings, SettingsError

MINIMUM_SECRET_LENGTH = 32
LONGEST_LIFETIME = timedelta(days=3650)
OLDEST_SQLITE = (3, 35)  # UPDATE … RETURNING
# Where "not at all" makes sense; any other length of zero would stop sign-ins or make a loop spin.
MAY_BE_ZERO = {
    "drain_lifetime",
    "jwks_cache_lifetime",
    "lost_answer_lifetime",
    "refresh_leeway_lifetime",
    "signing_key_prepublish_lifetime",
}


def refuse_dangerous(settings: Settings) -> None:
    """Raise `SettingsError` for the first danger found."""
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
    if settings.is_sqlite:
        _check_sqlite()
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


def _check_sqlite() -> None:
    """Python uses the SQLite of its machine: one too old would fail at some statement, in the middle of things."""
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("SELECT value FROM json_each('[]')")  # may be left out before 3.38
        if sqlite3.sqlite_version_info >= OLDEST_SQLITE:
            return
        lack = "is older than 3.35"
    except sqlite3.OperationalError:
        lack = "has no JSON functions"
    raise SettingsError(
        f"This Python's SQLite ({sqlite3.sqlite_version}) {lack}, which the embedded database needs. "
        "Use a Python with a newer one, or set IDP_DATABASE_URL to a PostgreSQL database."
    )


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
        if isinstance(value, timedelta) and not value and field not in MAY_BE_ZERO:
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
