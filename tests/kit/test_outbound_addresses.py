"""Which addresses are public, which stay closed whatever the operator says, and how IDP_OUTBOUND_ALLOW is read."""

from ipaddress import ip_address, ip_network

import pytest

from idp.kit.addresses import AllowEntry, find_ip, find_never_reason, find_special_reason, is_host_name

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "3ffe:ffff::1",
]
CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible 127.0.0.1
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff::1",
    "100::1",
    "1fff::1",
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_unicast_address_may_be_dialed(text):
    assert find_special_reason(ip_address(text)) is None
    assert find_never_reason(ip_address(text)) is None


@pytest.mark.spec("RFC 6890", "2.2")
@pytest.mark.parametrize("text", CLOSED)
def test_a_special_address_is_refused_with_a_reason(text):
    assert find_special_reason(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "192.0.0.192",
        "224.0.0.251",
        "255.255.255.255",
        "::",
        "fd00:ec2::254",
        "fd20:ce::254",
        "ff02::fb",
        "::ffff:169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
    ],
)
def test_metadata_and_multicast_stay_closed_whatever_the_operator_allows(text):
    assert find_never_reason(ip_address(text))


@pytest.mark.parametrize("text", ["127.0.0.1", "10.0.0.1", "169.254.1.1", "192.168.1.1", "::1", "fd12::1", "fe80::1"])
def test_a_private_address_can_be_opened_by_the_operator(text):
    assert find_never_reason(ip_address(text)) is None


@pytest.mark.parametrize(
    ("text", "host", "network", "port"),
    [
        ("localhost:9001", "localhost", None, 9001),
        (" RP.Example.:443 ", "rp.example", None, 443),
        ("127.0.0.1:9001", None, "127.0.0.1/32", 9001),
        ("10.0.0.0/8:443", None, "10.0.0.0/8", 443),
        ("[::1]:9001", None, "::1/128", 9001),
        ("[fd00::/8]:443", None, "fd00::/8", 443),
    ],
)
def test_an_allow_entry_names_a_host_or_a_network_and_a_port(text, host, network, port):
    assert AllowEntry.parse(text) == AllowEntry(host, ip_network(network) if network else None, port)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "needs a port"),
        ("localhost", "needs a port"),
        ("localhost:", "needs a port"),
        ("localhost:0", "needs a port"),
        ("localhost:65536", "needs a port"),
        ("localhost:http", "needs a port"),
        ("localhost:*", "needs a port"),
        (":9001", "needs a port"),
        ("::1:9001", "needs a port"),
        ("10.0.0.0:443/8", "needs a port"),
        ("http://localhost:9001", "[::1]:9001"),
        ("*.internal:443", "names no host"),
        ("rp example:443", "names no host"),
        ("127.1:9001", "names no host"),
        ("0x7f000001:9001", "names no host"),
        ("2130706433:9001", "names no host"),
        ("bücher.example:443", "names no host"),
        ("10.1.2.3/8:443", "write 10.0.0.0/8:443"),
        ("[fd00::1/8]:443", "write [fd00::/8]:443"),
        ("[127.0.0.1]:9001", "brackets go around IPv6"),
        ("10.0.0.0/33:443", "not an address or network"),
        ("[localhost]:443", "not an address or network"),
        ("169.254.169.254:80", "cloud metadata"),
    ],
)
def test_a_malformed_allow_entry_is_refused_with_a_remedy(text, remedy):
    with pytest.raises(ValueError, match=r".+") as refusal:
        AllowEntry.parse(text)

    assert remedy in str(refusal.value)


def test_an_entry_covers_its_own_host_and_port_only():
    entry = AllowEntry.parse("localhost:9001")
    loopback = ip_address("127.0.0.1")

    assert entry.covers(host="localhost", address=loopback, port=9001)
    assert entry.covers(host="localhost.", address=loopback, port=9001)
    assert not entry.covers(host="localhost", address=loopback, port=9002)
    assert not entry.covers(host="127.0.0.1", address=loopback, port=9001)
    assert not entry.covers(host="a.localhost", address=loopback, port=9001)


def test_an_entry_covers_its_own_network_and_port_only():
    entry = AllowEntry.parse("10.0.0.0/8:443")

    assert entry.covers(host="rp.internal", address=ip_address("10.9.9.9"), port=443)
    assert not entry.covers(host="rp.internal", address=ip_address("10.9.9.9"), port=8443)
    assert not entry.covers(host="rp.internal", address=ip_address("11.0.0.1"), port=443)
    assert not entry.covers(host="rp.internal", address=ip_address("::ffff:10.9.9.9"), port=443)


@pytest.mark.parametrize(
    "text", ["rp.example", "localhost", "a-b.example.", "xn--bcher-kva.example", "_srv.example", "1.a"]
)
def test_a_plain_name_is_a_host_name(text):
    assert is_host_name(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-a.example", "127.1", "1", "0x7f", "a.0x7f", "a b", "a%2eb", "é.example", "a" * 64, "a." * 127],
)
def test_what_parsers_could_read_differently_is_no_host_name(text):
    assert not is_host_name(text)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "010.0.0.1", "127.1", "localhost", "[::1]"])
def test_only_the_standard_form_is_an_address(text):
    assert find_ip(text) is None
