"""Which network addresses this server may dial for somebody else: only public ones, unless the operator named them.

Owns the table of special addresses and the entries of IDP_OUTBOUND_ALLOW. Never resolves a name and never opens a
socket (`idp.kit.outbound` does). The standard library's `is_global` is not asked: Python 3.11 calls NAT64 and 6to4
global, and its answers change between patch releases. Serves the IANA IPv4 and IPv6 Special-Purpose Address
Registries (RFC 6890) and RFC 4291 §2.4.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

# The first match names the reason, so narrower networks stand before wider ones.
_SPECIAL: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier's NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's host service"),  # Azure: looks public, is served by the hypervisor
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols"),  # its anycast addresses included: no application lives there
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "an IPv4 address in IPv6 form"),
        ("::ffff:0:0:0/96", "an IPv4 address in translated form"),
        ("::/96", "an IPv4 address in an obsolete IPv6 form"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
# RFC 4291 §2.4 with IANA's allocation: the only part of IPv6 from which public unicast addresses are given out.
_PUBLIC_IPV6 = IPv6Network("2000::/3")

# No application can be reached there, and a wide entry such as 169.254.0.0/16 must not open the door by accident.
_NEVER: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this network"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "a cloud's host service"),
        ("169.254.169.254/32", "cloud metadata"),
        ("169.254.170.2/32", "cloud metadata"),
        ("169.254.170.23/32", "cloud metadata"),
        ("192.0.0.192/32", "cloud metadata"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("fd00:ec2::/64", "cloud metadata"),
        ("fd20:ce::254/128", "cloud metadata"),
        ("ff00::/8", "multicast"),
    )
)
_EMBEDDED_IPV4: tuple[tuple[IPv6Network, int], ...] = (  # where the IPv4 address stands: bits to its right
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("::/96"), 0),
)

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
# Libraries read `127.1`, `0x7f000001` and `2130706433` as IPv4 addresses; nobody writes an application's name so.
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)")


def find_special_reason(address: IPAddress) -> str | None:
    """Why `address` isn't a public unicast one, in a few words for operators; None when it is public."""
    reason = _first_reason(_SPECIAL, address)
    if reason is None and isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "not allocated for public use"
    return reason


def find_never_reason(address: IPAddress) -> str | None:
    """Why `address` stays closed whatever IDP_OUTBOUND_ALLOW says; None when an entry may open it."""
    if reason := _first_reason(_NEVER, address):
        return reason
    for network, shift in _EMBEDDED_IPV4:
        if isinstance(address, IPv6Address) and address in network and int(address) > 1:  # not ::1
            return find_never_reason(IPv4Address((int(address) >> shift) & 0xFFFF_FFFF))
    return None


def _first_reason(table: Iterable[tuple[IPNetwork, str]], address: IPAddress) -> str | None:
    return next((reason for network, reason in table if address in network), None)


def is_host_name(text: str) -> bool:
    """Whether `text` is an ASCII host name that no library could take for a numeric address."""
    if not _HOST.fullmatch(text) or len(text) > 253:
        return False
    return not _NUMERIC_LABEL.fullmatch(text.rstrip(".").rsplit(".", 1)[-1])


def find_ip(text: str) -> IPAddress | None:
    """The address that `text` spells in its one standard form (no zone, no brackets), or None."""
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class AllowEntry:
    """One item of IDP_OUTBOUND_ALLOW: a host name or a network, and always a port. Exactly one of the two is set."""

    host: str | None
    network: IPNetwork | None
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `localhost:9001`, `127.0.0.1:9001`, `10.0.0.0/8:443`, `[::1]:9001` or `[fd00::/8]:443`.

        Raises ValueError with a sentence that tells the operator what to write instead.
        """
        where, colon, port_text = text.strip().rpartition(":")
        port = int(port_text) if re.fullmatch(r"[0-9]{1,5}", port_text) else 0
        if not colon or not where or not 1 <= port <= 65535 or (":" in where and not where.endswith("]")):
            raise ValueError(
                f"{text!r} needs a port between 1 and 65535, for example localhost:9001, 10.0.0.0/8:443 or [::1]:9001"
            )
        if where.startswith("[") and where.endswith("]"):
            return cls._of_network(where[1:-1], port, version=6, text=text)
        if "/" in where or find_ip(where):
            return cls._of_network(where, port, version=4, text=text)
        if not is_host_name(where):
            raise ValueError(
                f"{text!r} names no host: write one exact name (no scheme, path or wildcard), an address, or a network"
                " such as 10.0.0.0/8:443"
            )
        return cls(host=where.lower().rstrip("."), network=None, port=port)

    @classmethod
    def _of_network(cls, spelled: str, port: int, *, version: int, text: str) -> Self:
        try:
            network = ip_network(spelled, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is not an address or network with a port, such as 10.0.0.0/8:443") from None
        if network.version != version:
            raise ValueError(f"{text!r}: brackets go around IPv6 addresses, and only those, as in [fd00::/8]:443")
        exact = f"[{network}]:{port}" if version == 6 else f"{network}:{port}"
        if "/" in spelled and find_ip(spelled.partition("/")[0]) != network.network_address:
            raise ValueError(f"{text!r} has an address inside the network; write {exact}")
        if network.prefixlen == network.max_prefixlen and (reason := find_never_reason(network.network_address)):
            raise ValueError(f"{text!r} can't be allowed: the address is {reason}; no application is there")
        return cls(host=None, network=network, port=port)

    def covers(self, *, host: str, address: IPAddress, port: int) -> bool:
        """Whether this entry names the host (lower case) or contains the address, at this port."""
        if port != self.port:
            return False
        if self.host is not None:
            return host.rstrip(".") == self.host
        return self.network is not None and address in self.network
