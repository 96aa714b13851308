"""Where a request comes from: proxies that the operator named are believed, and nobody else."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.web.address import find_client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.5", "", "203.0.113.5"),
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", '"[2001:db8::1]"', "2001:db8::1"),
        ("fd00::1", "2001:DB8:0::1", "2001:db8::1"),
        ("10.0.0.1", "192.0.2.66, unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.66, ", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.66, 999.1.1.1", "10.0.0.1"),
        ("", "198.51.100.1", ""),
        ("unix:", "198.51.100.1", ""),
    ],
)
def test_the_rightmost_address_that_no_trusted_proxy_has_counts(peer: str, forwarded_for: str, address: str) -> None:
    assert find_client_address(peer, forwarded_for, trusted=PROXIES) == address


@given(st.text(max_size=200))
def test_whatever_a_stranger_writes_into_the_header_is_never_believed(forwarded_for: str) -> None:
    assert find_client_address("203.0.113.5", forwarded_for, trusted=PROXIES) == "203.0.113.5"


@given(st.text(alphabet="0123456789.:, []abcdef", max_size=300))
def test_what_stands_left_of_an_honest_hop_changes_nothing(written_by_the_client: str) -> None:
    header = f"{written_by_the_client}, 198.51.100.1"

    assert find_client_address("10.0.0.1", header, trusted=PROXIES) == "198.51.100.1"


def test_without_trusted_proxies_the_header_is_not_read() -> None:
    assert find_client_address("10.0.0.1", "198.51.100.1", trusted=[]) == "10.0.0.1"
