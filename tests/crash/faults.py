"""What goes wrong in a round: each kind does its damage at a random moment and undoes it."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psycopg

from tests.crash.cluster import NODES, WORKERS, Cluster
from tests.crash.own_postgres import OwnPostgres
from tests.support.postgres_proxy import Cut
from tests.support.receivers import Receiver

CUTS_PER_ROUND = 3
RECOVERY_SECONDS = 60
FULL_SECONDS = 2
MEETING_SECONDS = 20


class Kind(StrEnum):
    """The kinds of rounds; the text is what the tables show."""

    CUT_BEFORE = "connection cut before COMMIT"
    CUT_AFTER = "connection cut after COMMIT"
    SERVICE = "serving process killed (kill -9)"
    WORKER = "worker killed (kill -9)"
    POSTGRES = "PostgreSQL stopped in immediate mode"
    APPLICATION = "application away"
    DISK = "database's disk full"
    NODE = "whole node killed and started again"
    EVERYTHING = "nodes, workers and database at once"


# An embedded database has nothing of its own to stop, and nothing on the way to cut.
_POSTGRESQL_ONLY = frozenset({Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.POSTGRES})
# While these last, some node can answer: an honest client needs one retry, never two.
ONE_RETRY = frozenset({Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.SERVICE, Kind.WORKER, Kind.APPLICATION, Kind.NODE})


@dataclass
class Scene:
    """Whom a fault can hurt."""

    cluster: Cluster
    receiver: Receiver
    chance: random.Random
    haste: float = 1  # by how much waits and what happens meanwhile are shorter
    refused: Callable[[], int] = lambda: 0  # how often this round's people were told 503 so far
    node: int = 0  # whose turn it is to be killed: never one that has not come back yet

    def next_node(self) -> int:
        self.node = 1 - self.node
        return self.node

    def soon(self, most: float = 0.8) -> None:
        """Wait for a random moment."""
        time.sleep(self.chance.uniform(0.05, most / self.haste))

    def until_somebody_is_refused(self) -> None:
        """Whoever asks: a fault that nobody meets says nothing."""
        before, deadline = self.refused(), time.monotonic() + MEETING_SECONDS
        while self.refused() == before and time.monotonic() < deadline:
            time.sleep(0.01)


def possible_on(cluster: Cluster) -> list[Kind]:
    """The kinds that this installation, on this machine, can go through."""
    database = cluster.database
    left_out = set() if isinstance(database, OwnPostgres) else set(_POSTGRESQL_ONLY)
    if not database.can_be_full:
        left_out.add(Kind.DISK)
    return [kind for kind in Kind if kind not in left_out]


def strike(kind: Kind, scene: Scene) -> None:
    """Do it, and undo it."""
    scene.soon()
    _STRIKES[kind](scene)


def _cut(where: Cut) -> Callable[[Scene], None]:
    def cut(scene: Scene) -> None:
        proxy = scene.cluster.postgres.proxy
        for number in range(round(CUTS_PER_ROUND / scene.haste)):
            goal = proxy.cuts + 1
            # So many commits between two cuts that they do not hit one request and then its retry.
            proxy.cut(where, after=scene.chance.randint(15 if number else 1, round(15 + 25 / scene.haste)))
            deadline = time.monotonic() + RECOVERY_SECONDS
            while proxy.cuts < goal:
                assert time.monotonic() < deadline, "nobody commits any more"
                time.sleep(0.01)

    return cut


def _kill_serving(scene: Scene) -> None:
    node = scene.next_node()
    scene.cluster.kill_serving(node)
    scene.cluster.wait_for(node)


def _kill_node(scene: Scene) -> None:
    node = scene.next_node()
    scene.cluster.kill(node)
    scene.cluster.wait_for(node)


def _kill_worker(scene: Scene) -> None:
    scene.cluster.kill(scene.chance.choice(WORKERS))
    scene.soon()


def _stop_postgres(scene: Scene) -> None:
    scene.cluster.postgres.stop_immediately()
    scene.until_somebody_is_refused()
    scene.soon()
    scene.cluster.postgres.start()
    until_database_answers(scene.cluster)


def _application_away(scene: Scene) -> None:
    scene.receiver.statuses = [503]
    scene.soon(1.5)
    scene.receiver.statuses = [200]


def _everything(scene: Scene) -> None:
    cluster = scene.cluster
    if isinstance(cluster.database, OwnPostgres):
        cluster.database.stop_immediately()
    cluster.kill(*NODES, *WORKERS)
    until_database_answers(cluster)
    for node in NODES:
        cluster.wait_for(node)


def _fill_disk(scene: Scene) -> None:
    database = scene.cluster.database
    if not isinstance(database, OwnPostgres):
        pids = scene.cluster.pids
        database.fill(pids)
        scene.until_somebody_is_refused()
        scene.soon()
        database.make_room(pids)
        return
    before = database.complaints()
    database.fill()
    deadline = time.monotonic() + FULL_SECONDS
    while database.complaints() == before and time.monotonic() < deadline:
        time.sleep(0.02)
    if database.complaints() == before:
        # The load does not write enough: what has been begun may still be filled, the next segment needs room.
        with suppress(psycopg.Error), database.connect() as connection:
            connection.execute("SELECT pg_switch_wal()")
    scene.soon()
    database.make_room()
    until_database_answers(scene.cluster)


_STRIKES: dict[Kind, Callable[[Scene], None]] = {
    Kind.CUT_BEFORE: _cut(Cut.BEFORE_COMMIT),
    Kind.CUT_AFTER: _cut(Cut.AFTER_COMMIT),
    Kind.SERVICE: _kill_serving,
    Kind.NODE: _kill_node,
    Kind.WORKER: _kill_worker,
    Kind.POSTGRES: _stop_postgres,
    Kind.APPLICATION: _application_away,
    Kind.EVERYTHING: _everything,
    Kind.DISK: _fill_disk,
}


def until_database_answers(cluster: Cluster) -> None:
    """Wait for recovery; a server that gave up (no room for its log) is started again, as a service manager would."""
    database = cluster.database
    if not isinstance(database, OwnPostgres):
        return
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            database.start()
            with database.connect() as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS room_to_write (id int)")
                connection.execute("INSERT INTO room_to_write VALUES (1)")
                return
        except psycopg.Error:
            assert time.monotonic() < deadline, "PostgreSQL does not come back"
            time.sleep(0.05)
