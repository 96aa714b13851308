"""Slots for outbound requests: few per host, more in all, never waited for."""

import threading

import pytest

from idp.kit.host_limits import HostLimits, host_of


def test_a_slow_host_gets_no_more_than_its_share():
    limits = HostLimits(per_host=2, total=10)

    taken = [limits.try_acquire("slow.example") for _ in range(3)]

    assert taken == [True, True, False]
    assert limits.find_full_hosts() == {"slow.example"}
    assert limits.try_acquire("other.example")


def test_all_hosts_together_stay_within_the_total():
    limits = HostLimits(per_host=2, total=3)

    taken = [limits.try_acquire(host) for host in ("a", "b", "c", "d")]

    assert taken == [True, True, True, False]


def test_a_released_slot_can_be_taken_again():
    limits = HostLimits(per_host=1, total=1)
    limits.try_acquire("a")

    limits.release("a")

    assert limits.try_acquire("b")
    assert limits.find_full_hosts() == {"b"}


def test_a_host_that_keeps_a_request_waiting_gets_no_further_one_meanwhile():
    now = [100.0]
    limits = HostLimits(per_host=4, total=10, slow_after=0.5, clock=lambda: now[0])

    assert limits.try_acquire("hangs")
    assert limits.try_acquire("hangs")
    now[0] += 0.5

    assert not limits.try_acquire("hangs")
    assert limits.find_full_hosts() == {"hangs"}
    assert limits.try_acquire("other")
    limits.release("hangs")
    limits.release("hangs")
    assert limits.try_acquire("hangs")


def test_a_slot_that_nobody_holds_is_not_released():
    with pytest.raises(RuntimeError):
        HostLimits(per_host=1, total=1).release("a")


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="limits start at 1"):
        HostLimits(per_host=0, total=1)


def test_threads_never_get_more_slots_than_there_are():
    limits = HostLimits(per_host=7, total=100)
    barrier = threading.Barrier(30)
    taken = []

    def take():
        barrier.wait()
        taken.append(limits.try_acquire("a"))

    threads = [threading.Thread(target=take) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert taken.count(True) == 7


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://RP.example/path", "rp.example"),
        ("https://rp.example:8443/", "rp.example:8443"),
        ("https://user@rp.example/", "rp.example"),
        ("https://[::1", ""),
    ],
)
def test_requests_are_counted_by_host_and_port(url, host):
    assert host_of(url) == host
