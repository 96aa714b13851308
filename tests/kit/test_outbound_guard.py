"""What the guarded client refuses to dial, and that it dials exactly what it checked."""

import threading
from ipaddress import ip_address

import pytest

from idp.kit.addresses import AllowEntry
from idp.kit.destinations import ProxyAddress, Target
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundClient, OutboundFailure, OutboundPolicy
from tests.kit.outbound_servers import OK, RawServer

LOOPBACK = ip_address("127.0.0.1")
PUBLIC = ip_address("9.9.9.9")


class Names:
    """A resolver from a table; each question takes the next answer, the last one for ever."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked = []

    def __call__(self, host):
        self.asked.append(host)
        found = self.answers[host]
        return found.pop(0) if len(found) > 1 else found[0]


def client(*allow, resolver=None):
    policy = OutboundPolicy(allow=tuple(AllowEntry.parse(text) for text in allow))
    return OutboundClient(policy, resolver=resolver) if resolver else OutboundClient(policy)


def blocked_because(answer):
    assert isinstance(answer, OutboundFailure), answer
    assert answer.kind is FailureKind.BLOCKED, answer
    return answer.detail


@pytest.fixture
def server():
    with RawServer(OK) as running:
        yield running


def test_an_address_on_this_machine_is_blocked_without_an_entry_and_dialed_with_one(server):
    url = f"http://127.0.0.1:{server.port}/"

    refusal = client().get(url, operator_registered=True)
    answer = client(f"127.0.0.1:{server.port}").get(url, operator_registered=True)

    assert "loopback" in blocked_because(refusal)
    assert isinstance(answer, OutboundAnswer)
    assert server.connections == 1


def test_an_entry_opens_nothing_for_an_address_that_no_operator_registered(server):
    opened = client(f"127.0.0.1:{server.port}", f"localhost:{server.port}")

    for host in ("127.0.0.1", "localhost"):
        blocked_because(opened.get(f"http://{host}:{server.port}/", operator_registered=False))

    assert server.connections == 0


def test_an_entry_for_another_port_opens_nothing(server):
    refusal = client(f"127.0.0.1:{server.port + 1}").get(f"http://127.0.0.1:{server.port}/", operator_registered=True)

    assert f"no entry of IDP_OUTBOUND_ALLOW covers it (127.0.0.1:{server.port} would)" in blocked_because(refusal)
    assert server.connections == 0


@pytest.mark.parametrize("url", ["https://[::1]:8443/logout", "https://127.0.0.1:8443/logout"])
def test_the_entry_that_a_refusal_names_opens_the_address(url):
    refusal = blocked_because(client().get(url, operator_registered=True))

    entry = refusal.partition("covers it (")[2].partition(" would)")[0]

    opened = client(entry).get(url, operator_registered=True)
    assert isinstance(opened, OutboundFailure)
    assert opened.kind is not FailureKind.BLOCKED  # nobody listens there


def test_an_entry_by_name_opens_the_name_and_tries_each_of_its_addresses(server):
    both = Names(rp_test=[[ip_address("::1"), LOOPBACK]])

    answer = client(f"rp.test:{server.port}", resolver=both).get(
        f"http://RP.test:{server.port}/", operator_registered=True
    )

    assert isinstance(answer, OutboundAnswer)
    assert b"Host: rp.test:%d\r\n" % server.port in server.requests[0]


def test_one_bad_address_among_good_ones_blocks_the_name(server):
    mixed = Names(rp_test=[[PUBLIC, LOOPBACK]])

    refusal = client(resolver=mixed).get(f"https://rp.test:{server.port}/", operator_registered=True)

    assert "127.0.0.1 (loopback)" in blocked_because(refusal)
    assert server.connections == 0


def test_an_entry_by_network_must_cover_every_address_of_the_name(server):
    mixed = Names(rp_test=[[LOOPBACK, ip_address("10.0.0.1")]])

    refusal = client(f"127.0.0.0/8:{server.port}", resolver=mixed).get(
        f"http://rp.test:{server.port}/", operator_registered=True
    )

    assert "10.0.0.1" in blocked_because(refusal)
    assert server.connections == 0


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(server):
    rebinding = Names(rp_test=[[LOOPBACK], [ip_address("169.254.169.254")], [ip_address("10.0.0.1")]])

    answer = client(f"127.0.0.1:{server.port}", resolver=rebinding).get(
        f"http://rp.test:{server.port}/", operator_registered=True
    )

    assert isinstance(answer, OutboundAnswer)
    assert rebinding.asked == ["rp.test"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
    ],
)
def test_metadata_stays_closed_even_when_entries_cover_it(url):
    everything = client("0.0.0.0/0:80", "[::/0]:80")

    assert "never dialed" in blocked_because(everything.get(url, operator_registered=True))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://192.0.0.8/",
        "https://100.64.0.1/",
    ],
)
def test_a_special_address_in_the_url_is_blocked(url):
    blocked_because(client().get(url, operator_registered=False))


def test_a_public_address_without_tls_is_blocked():
    refusal = client(resolver=Names(rp_test=[[PUBLIC]])).get("http://rp.test/", operator_registered=True)

    assert "without TLS" in blocked_because(refusal)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "//rp.example/",
        "rp.example",
        "https:///path",
        "https://",
        "ftp://rp.example/",
        "file:///etc/passwd",
        "gopher://rp.example/",
        "https://user@rp.example/",
        "https://user:password@rp.example/",
        "https://@rp.example/",
        "https://rp.example/#",
        "https://rp.example/#fragment",
        "https://rp.example:0/",
        "https://rp.example:65536/",
        "https://rp.example:x/",
        "https://rp.example\\@127.0.0.1/",
        "https://rp.example/a b",
        "https://rp.example/a\\b",
        "https://rp.example/\r\nX: y",
        "https://rp.\texample/",
        "https://rp.example/\x00",
        "https://bücher.example/",
        "https://rp%2eexample/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://[::1/",
        "https://[127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.a]/",
        "https://rp.example/" + "a" * 4096,
    ],
)
def test_an_address_that_cannot_be_read_in_one_way_is_malformed(url):
    names = Names()

    refusal = client(resolver=names).get(url, operator_registered=True)

    assert isinstance(refusal, OutboundFailure)
    assert refusal.kind is FailureKind.MALFORMED
    assert names.asked == []


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://RP.example", "rp.example", 443, "/"),
        ("HTTPS://rp.example:/a?b=c&d", "rp.example", 443, "/a?b=c&d"),
        ("https://rp.example?b", "rp.example", 443, "/?b"),
        ("http://[::1]:9001//a", "::1", 9001, "//a"),
        ("https://1.1.1.1:8443/%20", "1.1.1.1", 8443, "/%20"),
    ],
)
def test_a_good_address_is_taken_apart_once(url, host, port, path):
    target = Target.parse(url)

    assert isinstance(target, Target)
    assert (target.host, target.port, target.path) == (host, port, path)


def test_a_resolver_that_hangs_costs_no_more_than_the_deadline():
    released = threading.Event()

    def hanging(host):
        released.wait(30)
        return [PUBLIC]

    refusal = client(resolver=hanging).get("https://slow.test/", operator_registered=True, deadline_seconds=0.1)
    released.set()

    assert isinstance(refusal, OutboundFailure)
    assert refusal.kind is FailureKind.TIMED_OUT


def test_a_name_that_does_not_exist_is_unreachable():
    def missing(host):
        raise OSError("no such name")

    refusal = client(resolver=missing).get("https://nowhere.test/", operator_registered=True)

    assert isinstance(refusal, OutboundFailure)
    assert refusal.kind is FailureKind.UNREACHABLE
    assert "could not be resolved" in refusal.detail


@pytest.mark.parametrize(
    "text",
    ["", "proxy:3128", "https://proxy:3128", "http://", "http://proxy:x", "http://proxy/path", "http://a:secret@b c/"],
)
def test_a_malformed_proxy_is_refused_without_repeating_its_password(text):
    with pytest.raises(ValueError, match="must be written") as refusal:
        ProxyAddress.parse(text)

    assert "secret" not in str(refusal.value)


def test_the_policy_refuses_a_malformed_proxy_and_hides_a_good_ones_password():
    with pytest.raises(ValueError, match="must be written"):
        OutboundPolicy(proxy="socks5://proxy:1080")

    assert "secret" not in repr(OutboundPolicy(proxy="http://us:secret@proxy:3128"))
