"""Reads the two kinds of address that an outbound request has: the URL asked for, and the operator's proxy.

A URL is parsed here once; everything later (address check, Host header, TLS name, request line) is made from the parts,
so that no second parser can disagree about where a request goes. Serves RFC 3986 §3.2 and RFC 9110 §4.2.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from idp.kit.addresses import find_ip, is_host_name

DEFAULT_PORTS: Mapping[str, int] = {"https": 443, "http": 80}
DEFAULT_PROXY_PORT = 3128
MAX_URL_LENGTH = 4096


@dataclass(frozen=True)
class Target:
    """What a URL asks for: `host` in lower case and without brackets, `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Self | str:
        """The parts of an absolute http or https URL, or the problem with it as the end of a sentence."""
        # urlsplit silently drops tabs and newlines, and parsers differ on backslashes: refuse them beforehand.
        if len(url) > MAX_URL_LENGTH or "\\" in url or any(not "\x21" <= character <= "\x7e" for character in url):
            return "is too long or contains characters that must be percent-encoded"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "can't be read"
        if parts.scheme not in DEFAULT_PORTS:
            return "is neither https nor http"
        if "@" in parts.netloc or "#" in url:
            return "contains a user name or a fragment"
        host = _find_host(parts)
        if host is None or port == 0:
            return "has no usable host or port"
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], (parts.path or "/") + query)

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class ProxyAddress:
    """The operator's forwarding proxy, with the headers that authenticate us to it."""

    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `http://[user:password@]host[:port]`. Raises ValueError with a remedy that repeats no password."""
        malformed = ValueError("the outbound proxy must be written http://host:port or http://user:password@host:port")
        try:
            parts = urlsplit(text)
            host, port = _find_host(parts), parts.port
        except ValueError:
            raise malformed from None
        if parts.scheme != "http" or host is None or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise malformed
        headers = {}
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Proxy-Authorization"] = "Basic " + b64encode(credentials.encode()).decode("ascii")
        return cls(host, port or DEFAULT_PROXY_PORT, headers)


def _find_host(parts: SplitResult) -> str | None:
    """The host name or address; None when it is missing, or spelled in a way that others could read differently."""
    host = parts.hostname or ""
    address = find_ip(host)
    if "[" in parts.netloc:
        return host if address and address.version == 6 else None
    return host if address or is_host_name(host) else None
