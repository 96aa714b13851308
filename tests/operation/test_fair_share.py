"""New connections go to the process that has the fewest; one that hangs keeps nobody waiting (docs/adr/0014)."""

import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from idp.cli.fair_share import PATIENCE_SECONDS, Share, shared_counts
from tests.operation.nodes import Node

NOW = 1000.0


def two() -> tuple[Share, Share]:
    counts = shared_counts(4)
    return Share(counts), Share(counts)


def test_who_has_no_more_than_others_takes_the_next_at_once() -> None:
    one, other = two()
    other.tell(3)

    assert not one.should_wait(2, NOW)
    assert not one.should_wait(3, NOW)
    assert one.should_wait(4, NOW)


def test_alone_nobody_waits() -> None:
    one, other = two()
    other.leave()

    assert not one.should_wait(500, NOW)


def test_who_waited_in_vain_takes_one_then_two_then_four() -> None:
    one, other = two()
    other.tell(0)
    now, taken = NOW, [0]

    while sum(taken) < 1000:  # of a thousand connections at the door, which the other does not look at
        if one.should_wait(9, now):
            now += PATIENCE_SECONDS + 0.001
            taken.append(0)
        else:
            taken[-1] += 1

    assert taken[:6] == [0, 1, 2, 4, 8, 16]
    assert now - NOW < 0.3


def test_who_was_relieved_waits_again_from_the_beginning() -> None:
    one, other = two()
    other.tell(0)
    assert one.should_wait(5, NOW)

    one.nobody_waits()

    assert one.should_wait(5, NOW + 2 * PATIENCE_SECONDS)  # another connection, a little later


def test_the_place_of_one_that_is_gone_is_given_away_again() -> None:
    counts = shared_counts(2)
    one, other = Share(counts), Share(counts)
    other.tell(1)
    other.leave()

    third = Share(counts)

    third.tell(0)
    assert one.should_wait(1, NOW)
    assert counts[1] == 0


def test_one_without_a_place_does_as_gunicorn_does() -> None:
    counts = shared_counts(1)
    first, second = Share(counts), Share(counts)
    second.tell(7)

    assert counts[0] == 0
    assert not second.should_wait(7, NOW)
    first.leave()
    assert not second.should_wait(7, NOW)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, f"sqlite:///{tmp_path}/idp.db", "node")


def test_connections_that_are_kept_are_spread_over_the_processes(node: Node) -> None:
    node.run("init")
    try:
        node.start("--without-worker")
        with ExitStack() as stack:
            made = [stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 60)) for _ in range(24)]
            for connection in made:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            held = _held_by_process(node)
    finally:
        node.end()

    assert sum(held.values()) == 24
    assert len(held) == 2
    assert min(held.values()) >= 6


def _held_by_process(node: Node) -> Counter[int]:
    """Connections at the node's port, by the process that holds them."""
    established = "01"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {line[9] for line in lines if line[3] == established and int(line[1].split(":")[1], 16) == node.port}
    assert node.process is not None
    held: Counter[int] = Counter()
    for pid in _tree(node.process.pid):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink()) if descriptor.is_symlink() else ""
            if target.startswith("socket:[") and target[8:-1] in inodes:
                held[pid] += 1
    return held


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _tree(int(child)))]
