"""What this application is told by its environment, checked once at the start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


class ConfigurationError(ValueError):
    """A variable is missing or wrong; the message names it."""


@dataclass(frozen=True)
class Configuration:
    """`issuer` is the provider's issuer exactly as its discovery document says it; `base_url` is our own address."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str
    port: int
    base_url: str
    cookie_name: str
    database: Path

    @property
    def is_secure(self) -> bool:
        """Whether people reach us by https, so that cookies may be marked Secure."""
        return self.base_url.startswith("https://")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Configuration":
        """Read OP_ISSUER, RP_CLIENT_ID and RP_CLIENT_SECRET, and RP_NAME, RP_PORT, RP_BASE_URL, RP_COOKIE_NAME and
        RP_DATABASE, which have defaults. Raises ConfigurationError."""
        port_text = environment.get("RP_PORT", "9001")
        if not port_text.isdecimal() or not 1 <= int(port_text) <= 65535:
            raise ConfigurationError("RP_PORT must be a number between 1 and 65535")
        cookie_name = environment.get("RP_COOKIE_NAME", "demo_rp_1_session")
        if not cookie_name.replace("_", "").replace("-", "").isalnum() or not cookie_name.isascii():
            raise ConfigurationError("RP_COOKIE_NAME may contain letters, digits, - and _ only")
        return cls(
            issuer=_address(environment, "OP_ISSUER", None),
            client_id=_required(environment, "RP_CLIENT_ID"),
            client_secret=_required(environment, "RP_CLIENT_SECRET"),
            name=environment.get("RP_NAME", "Demo application"),
            port=int(port_text),
            base_url=_address(environment, "RP_BASE_URL", f"http://127.0.0.1:{port_text}").rstrip("/"),
            cookie_name=cookie_name,
            database=Path(environment.get("RP_DATABASE", f"var/{cookie_name}.sqlite3")),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigurationError(f"{name} must be set")
    return value


def _address(environment: Mapping[str, str], name: str, default: str | None) -> str:
    value = environment.get(name) or default or _required(environment, name)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"{name} must be an address such as https://login.example.com")
    return value
