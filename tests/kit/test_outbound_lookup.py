"""Name lookups are bounded: a resolver that hangs costs one thread per name and no more."""

import threading
import time
from ipaddress import ip_address

import pytest

from idp.kit.name_lookup import LookupsExhaustedError, NameLookup, NameNotFoundError, look_up_with_system

PUBLIC = ip_address("9.9.9.9")


class HangingResolver:
    """Answers nothing until it is released."""

    def __init__(self):
        self.asked = []
        self.released = threading.Event()

    def __call__(self, host):
        self.asked.append(host)
        self.released.wait(30)
        return [PUBLIC]


@pytest.fixture
def hanging():
    resolver = HangingResolver()
    yield resolver
    resolver.released.set()


def soon(seconds=0.05):
    return time.monotonic() + seconds


def later():
    return time.monotonic() + 30


def test_the_addresses_come_in_the_resolvers_order():
    lookup = NameLookup(lambda _host: [ip_address("2606::1"), PUBLIC])

    assert lookup.find_addresses("rp.example", deadline=later()) == (ip_address("2606::1"), PUBLIC)


def test_a_resolver_that_hangs_is_left_at_the_deadline(hanging):
    with pytest.raises(TimeoutError):
        NameLookup(hanging).find_addresses("slow.example", deadline=soon())


def test_a_second_question_for_a_name_under_way_waits_for_the_same_answer(hanging):
    lookup = NameLookup(hanging, at_once=1)
    with pytest.raises(TimeoutError):
        lookup.find_addresses("slow.example", deadline=soon())
    threading.Timer(0.05, hanging.released.set).start()

    addresses = lookup.find_addresses("slow.example", deadline=later())

    assert addresses == (PUBLIC,)
    assert hanging.asked == ["slow.example"]


def test_when_all_lookups_hang_the_next_one_fails_at_once(hanging):
    lookup = NameLookup(hanging, at_once=2)
    for name in ("a.example", "b.example"):
        with pytest.raises(TimeoutError):
            lookup.find_addresses(name, deadline=soon())
    started = time.monotonic()

    with pytest.raises(LookupsExhaustedError):
        lookup.find_addresses("c.example", deadline=later())

    assert time.monotonic() - started < 5
    assert hanging.asked == ["a.example", "b.example"]


def test_a_finished_lookup_makes_room_and_is_not_remembered():
    asked = []

    def resolver(host):
        asked.append(host)
        return [PUBLIC]

    lookup = NameLookup(resolver, at_once=1)

    for _ in range(3):
        lookup.find_addresses("rp.example", deadline=later())
        lookup.find_addresses("other.example", deadline=later())

    assert len(asked) == 6


@pytest.mark.parametrize("trouble", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_not_found(trouble):
    def resolver(host):
        raise trouble

    with pytest.raises(NameNotFoundError):
        NameLookup(resolver).find_addresses("nowhere.example", deadline=later())


def test_a_name_without_addresses_is_not_found():
    with pytest.raises(NameNotFoundError):
        NameLookup(lambda _host: []).find_addresses("empty.example", deadline=later())


def test_a_defect_in_the_resolver_is_not_swallowed():
    def resolver(host):
        raise KeyError(host)

    with pytest.raises(KeyError):
        NameLookup(resolver).find_addresses("rp.example", deadline=later())


def test_the_system_resolver_knows_this_machine():
    assert ip_address("127.0.0.1") in look_up_with_system("localhost")
