"""Where a request comes from, as far as it can be believed.

`X-Forwarded-For` is read from the right, and only past hops that the operator named in `IDP_TRUSTED_PROXIES`: whatever
stands further left was written by the client and may be a lie (CVE-2023-36456 in another provider). `Forwarded`,
`X-Real-IP` and the like are never read. The address is for people, audit and guess budgets, never for access.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from flask import Request

from idp.web.services import current_services

_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}\Z|\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?\Z")
MAXIMUM_HOPS = 20
MAXIMUM_LENGTH = 64  # of any address, with a port: what is remembered of strangers stays small


def client_address(request: Request) -> str:
    """The client's IP address in its usual spelling; empty when there is none (a Unix socket without a proxy)."""
    return find_client_address(
        request.remote_addr or "",
        request.headers.get("X-Forwarded-For", ""),
        trusted=current_services().settings.trusted_proxies,
    )


def find_client_address(peer: str, forwarded_for: str, *, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The rightmost address that no trusted proxy has; the last one believed when an entry is no address."""
    if not forwarded_for:
        return _spelled(peer[:MAXIMUM_LENGTH])
    address = _parse(peer[:MAXIMUM_LENGTH])
    if address is None:
        return ""
    hops = forwarded_for.split(",")[-MAXIMUM_HOPS:]
    while hops and _is_trusted(address, trusted):
        before = _parse(hops.pop()[:MAXIMUM_LENGTH])
        if before is None:
            break
        address = before
    return str(address)


@lru_cache(maxsize=4096)
def _spelled(text: str) -> str:
    address = _parse(text)
    return "" if address is None else str(address)


@lru_cache(maxsize=4096)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip().strip('"')
    if match := _WITH_PORT.match(text):
        text = match.group(1) or match.group(2)
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 peers as ::ffff:…, which no IPv4 network would match.
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
