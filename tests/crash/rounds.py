"""A crash run: round after round of load, one fault at a random moment, and the verdict on everything acknowledged."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from idp.db.engine import Database
from idp.kit.keyring import Keyring
from idp.settings import load_settings
from tests.crash.cluster import SECRET, Cluster
from tests.crash.faults import ONE_RETRY, Kind, Scene, possible_on, strike
from tests.crash.own_postgres import OwnPostgres
from tests.crash.own_sqlite import OwnSqlite
from tests.crash.people import Applications, Ledger, Person
from tests.crash.verdict import Verdict
from tests.support.databases import open_engine
from tests.support.heart import HandClock, Heart
from tests.support.receivers import Receiver

PEOPLE = 4
PEOPLE_IN_HASTE = 3
LONGEST_LIFE_SECONDS = 120


class WallClock(HandClock):
    """The heart's clock, but right: the processes have no other."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Tally:
    """What the rounds of one kind saw."""

    rounds: int = 0
    seconds: float = 0
    notices: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """Everything that a run needs."""

    cluster: Cluster
    receiver: Receiver
    heart: Heart
    applications: Applications


@contextmanager
def set_up(folder: Path, database: OwnPostgres | OwnSqlite) -> Iterator[Stage]:
    """Processes, database, an application that receives notices, and the way past all of them."""
    with Receiver() as receiver:
        cluster = Cluster(folder, allow=f"127.0.0.1:{receiver.port}", database=database)
        try:
            heart = open_heart(cluster)
            yield Stage(cluster, receiver, heart, _register(heart, receiver))
            heart.database.engine.dispose()
        finally:
            cluster.end()


def open_heart(cluster: Cluster) -> Heart:
    """The record rooms on the cluster's database, past the proxy."""
    url = cluster.database.url
    settings = load_settings({}, database_url=url, secret=SECRET)
    return Heart(
        Database(open_engine(url)),
        lambda: Database(open_engine(url)),
        WallClock(),
        settings,
        Keyring(settings.known_secret),
        iter(range(10_000_000)),
    )


def _register(heart: Heart, receiver: Receiver) -> Applications:
    eager = heart.client(
        name="Eager", backchannel_logout_uri=receiver.uri, refresh_leeway_lifetime=timedelta(0)
    )  # every refresh rotates, and a lost answer is skipped over
    usual = heart.client(name="Usual", backchannel_logout_uri=receiver.uri)
    tool = heart.client(name="Tool", backchannel_logout_uri=receiver.uri)
    for client in (eager, usual, tool):
        heart.change(client, token_endpoint_auth_method="none")
    return Applications(eager, usual, tool)


def run(
    stage: Stage,
    *,
    rounds: int,
    seed: int,
    kinds: Sequence[Kind] | None = None,
    seconds: float = float("inf"),
    haste: float = 1,
    told: Callable[[int, Kind, Tally], None] = lambda *_: None,
) -> dict[Kind, Tally]:
    """Run the rounds, the kinds in turn; None: all that are possible.

    Stops at the first round with anything wrong, and when the time is over.
    """
    last_start = time.monotonic() + seconds
    chance = random.Random(seed)
    kinds = possible_on(stage.cluster) if kinds is None else kinds
    scene = Scene(stage.cluster, stage.receiver, chance, haste)
    verdict = Verdict(stage.heart, stage.cluster, stage.receiver, chance)
    tallies = {kind: Tally() for kind in kinds}
    for number in range(rounds):
        kind = kinds[number % len(kinds)]
        tally = tallies[kind]
        began, notices = time.monotonic(), verdict.notices
        ledger = _live_through(kind, stage, scene, seed=chance.randrange(1 << 30))
        wrong = verdict.on(ledger)
        if kind in ONE_RETRY and ledger.most_retries > 1:
            wrong.append(f"{kind}: somebody needed {ledger.most_retries} retries")
        tally.rounds += 1
        tally.seconds += time.monotonic() - began
        tally.notices += verdict.notices - notices
        tally.ledger.add(_figures_of(ledger))
        tally.wrong += wrong
        told(number, kind, tally)
        if wrong or time.monotonic() > last_start:
            break
    return tallies


def _figures_of(ledger: Ledger) -> Ledger:
    """Without the records: a thousand rounds must fit into memory."""
    return replace(ledger, redeemed=[], alive=[], ended=[], revoked=[], abandoned=[], wrong=[])


def _live_through(kind: Kind, stage: Stage, scene: Scene, *, seed: int) -> Ledger:
    is_over = threading.Event()
    people = [
        Person(stage.heart, stage.cluster, stage.applications, is_over, seed + number)
        for number in range(PEOPLE if scene.haste == 1 else PEOPLE_IN_HASTE)
    ]
    scene.refused = lambda: sum(person.ledger.unavailable for person in people)
    for person in people:
        person.start()
    try:
        strike(kind, scene)
        scene.soon(0.3)
    finally:
        is_over.set()
        for person in people:
            person.join(LONGEST_LIFE_SECONDS)
    ledger = Ledger()
    for person in people:
        ledger.add(person.ledger)
        if person.is_alive():
            ledger.wrong.append(f"{person.name} hangs")
        if person.error is not None and not person.ledger.wrong:
            ledger.wrong.append(repr(person.error))
    return ledger
