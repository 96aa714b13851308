"""What `benchmarks.growth` measures: operations on a small and a large installation by turns, rotations, single pages.

Both installations run all the time, each with a PostgreSQL and a provider of its own, and only one of them is asked at
a time: their figures come from the same minutes, so that what the machine does besides touches both.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load
from benchmarks.crowd import Crowd
from benchmarks.load import HOLE, Measured, Operation, Step, request, with_hole
from benchmarks.operations import FIREFOX, REFRESH_TOKEN_LENGTH, page_form, token_request
from benchmarks.population import FAMILY_SECRET, MANY, cookie_of, identifier
from benchmarks.postgres import NotPossible, Postgres
from benchmarks.processes import cpu_seconds
from benchmarks.servers import Server
from benchmarks.update import same_update
from benchmarks.world import RegisteredClient, World
from idp.tokens import Issued, refresh, sign_access_token
from idp.tokens.refresh_tokens import RefreshToken, write_refresh_token

CONNECTIONS = 8
TABLES = ("token_families", "sessions", "session_clients", "users", "clients")


@dataclass
class Installation:
    """One size: its database, its provider, its people."""

    words: str
    database: Postgres
    world: World
    crowd: Crowd
    service: Server
    people: range
    folder: Path
    _numbers: list[int] = field(default_factory=list)
    _place: int = 0

    def choose(self, count: int, *, noted: bool = False) -> list[int]:
        """So many people from all over the tables, others at each call (until all had their turn).

        `noted`: those whose next refresh notes activity; the others are those whose does not.
        """
        if not self._numbers:
            self._numbers = list(self.people)
            random.Random(1).shuffle(self._numbers)
        chosen: list[int] = []
        for _ in range(len(self._numbers)):
            self._place = (self._place + 1) % len(self._numbers)
            if (self._numbers[self._place] % 4 == 0) is noted:
                chosen.append(self._numbers[self._place])
                if len(chosen) == count:
                    break
        if not chosen:
            raise NotPossible(f"Of {self.words} sessions none is left for another round: ask for fewer (--rounds).")
        return chosen

    def forget(self, people: Sequence[int]) -> None:
        """Never choose these again."""
        gone = set(people)
        self._numbers = [number for number in self._numbers if number not in gone]
        self._place = 0

    def send(self, operations: Iterator[Operation] | Sequence[Operation], **how: float) -> Measured:
        """Send the requests; `once`, `connections` and `seconds` as the generator takes them."""
        plan = self.folder / "plan"
        load.write_plan(plan, operations)
        return load.run(self.folder.parent / "loadgen", plan, port=self.service.port, **how)  # type: ignore[arg-type]

    def used(self) -> tuple[float, float]:
        """Processor seconds of the provider and of PostgreSQL so far."""
        return cpu_seconds(self.service.pid), cpu_seconds(self.database.process.pid)


@dataclass(frozen=True)
class Task:
    """One operation: its requests for so many people, each of whom may be taken once only if it `uses_up`."""

    name: str
    make: Callable[[Installation, list[int]], Iterator[Operation]]
    count: int
    uses_up: bool = False
    noted: bool = False


@dataclass
class Cost:
    """Microseconds of processor per operation, and of waiting at one connection; the median of all rounds."""

    service: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)

    @property
    def medians(self) -> tuple[float, float, float]:
        """Service, PostgreSQL, waiting."""
        return statistics.median(self.service), statistics.median(self.database), statistics.median(self.p50)


def compare(task: Task, installations: Sequence[Installation], *, rounds: int, seconds: float) -> dict[str, Cost]:
    """Both by turns, in turned order at every other round; the first round only warms up."""
    costs = {one.words: Cost() for one in installations}
    for number in range(rounds + 1):
        for one in installations if number % 2 else reversed(installations):
            chosen = one.choose(task.count, noted=task.noted)
            half = len(chosen) * 3 // 4
            before = one.used()
            operations = list(task.make(one, chosen))
            before = one.used()
            busy = one.send(operations[:half], connections=CONNECTIONS, seconds=seconds, once=task.uses_up)
            after = one.used()
            alone = one.send(operations[half:], connections=1, seconds=seconds / 2, once=task.uses_up)
            if task.uses_up:
                one.forget(chosen)
            if number:
                costs[one.words].service.append((after[0] - before[0]) / busy.operations * 1e6)
                costs[one.words].database.append((after[1] - before[1]) / busy.operations * 1e6)
                costs[one.words].p50.append(alone.p50)
    return costs


# ── The requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


def refreshes(one: Installation, people: Sequence[int]) -> Iterator[Operation]:
    """Rotations of these people's apps; each answer's token is carried into the family's next request."""
    client = one.world.clients["rotating"]
    form = {"grant_type": "refresh_token", "refresh_token": HOLE * REFRESH_TOKEN_LENGTH}
    made = token_request(one.world, client, form)
    for token in _refresh_tokens(one, [identifier("f", number) for number in people]):
        yield [with_hole(made, capture='"refresh_token":"', fill=token)]


def _refresh_tokens(one: Installation, families: Sequence[str]) -> Iterator[str]:
    found = one.crowd.connection.execute(
        "SELECT id, generation FROM token_families WHERE id = ANY(%s)", [list(families)]
    ).fetchall()
    generations: dict[str, int] = dict(found)
    for family in families:
        token = RefreshToken(family, generations[family], FAMILY_SECRET)
        yield write_refresh_token(token, one.world.services.keyring).reveal()


def _access_tokens(one: Installation, client: RegisteredClient, people: Sequence[int]) -> Iterator[str]:
    services = one.world.services
    for token in _refresh_tokens(one, [identifier("g", number * MANY + 1) for number in people]):
        now = services.clock.now()
        issued = refresh(
            services.database, token=token, client_id=client.id, is_authenticated=True, scope=None,
            settings=services.settings, keyring=services.keyring, now=now,
        )  # fmt: skip
        assert isinstance(issued, Issued), issued
        yield sign_access_token(issued, signer=services.keys.signer("ES256", now), issuer=services.settings.issuer)


def introspections(one: Installation, people: Sequence[int]) -> Iterator[Operation]:
    """Access tokens of these people, asked about by their application."""
    client = one.world.clients["web"]
    for token in _access_tokens(one, client, people):
        yield [Step(token_request(one.world, client, {"token": token}, "/oauth2/introspect"))]


def userinfos(one: Installation, people: Sequence[int]) -> Iterator[Operation]:
    """The same, presented at userinfo."""
    for token in _access_tokens(one, one.world.clients["web"], people):
        headers = {"Authorization": f"Bearer {token}"}
        yield [Step(request("GET", "/oauth2/userinfo", port=one.world.port, headers=headers))]


def pages(path: str) -> Callable[[Installation, Sequence[int]], Iterator[Operation]]:
    """A page of ours, looked at by these people."""

    def make(one: Installation, people: Sequence[int]) -> Iterator[Operation]:
        for number in people:
            yield page(one, path, cookie_of(number))

    return make


def page(one: Installation, path: str, cookie: str) -> Operation:
    """One page for whoever holds this cookie."""
    headers = {"Cookie": f"idp_session={cookie}", "User-Agent": FIREFOX}
    return [Step(request("GET", path, port=one.world.port, headers=headers))]


def ends(one: Installation, people: Sequence[int]) -> Iterator[Operation]:
    """Each ends the session of their app."""
    for number in people:
        yield [page_form(one.world, f"/account/sessions/{identifier('a', number)}/end", {}, number)]


def ends_of_everything(one: Installation, people: Sequence[int]) -> Iterator[Operation]:
    """Each signs out everywhere."""
    for number in people:
        yield [page_form(one.world, "/account/sessions/end-everywhere", {}, number)]


TASKS = (
    Task("refresh, rotating", refreshes, 2500),
    Task("refresh that also notes activity (at most hourly)", refreshes, 150, uses_up=True, noted=True),
    Task("introspection", introspections, 100),
    Task("userinfo", userinfos, 100),
    Task("session check of an open page", pages("/account/session-check"), 400),
    Task("*Signed-in devices*", pages("/account/sessions"), 200),
    Task("*Activity*", pages("/account/activity"), 200),
    Task("end one session", ends, 160, uses_up=True),
)


# ── Rotations ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sizes:
    """Bytes of a table and of its indexes, updates so far, and how many of these were HOT."""

    table: int
    indexes: int
    updates: int
    hot: int
    vacuums: int


def look(one: Installation) -> dict[str, Sizes]:
    """The tables that a refresh can touch."""
    time.sleep(11)  # a connection that went idle reports its counts within ten seconds
    found = one.crowd.connection.execute(
        "SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_tup_upd, n_tup_hot_upd, autovacuum_count "
        "FROM pg_stat_user_tables WHERE relname = ANY(%s)",
        [list(TABLES)],
    ).fetchall()
    return {str(row[0]): Sizes(*row[1:]) for row in found}


Rotate = Callable[[int], tuple[int, float]]


def rotations(one: Installation, families: int) -> Rotate:
    """What makes at least so many rotations of these apps, through the service; how many, and in how many seconds."""
    chosen = one.choose(families)

    def rotate(count: int) -> tuple[int, float]:
        started, done = time.monotonic(), 0
        while done < count:
            # Each time others first: the generator goes through them in turn.
            people = chosen[done % families :] + chosen[: done % families]
            done += one.send(refreshes(one, people), connections=CONNECTIONS, seconds=20).operations
        return done, time.monotonic() - started

    return rotate


def rotations_by_pgbench(one: Installation, families: int) -> Rotate:
    """The same by the very UPDATE, without the service: for a machine on which the service would take hours."""
    update = same_update(one.database, one.world, one.folder, families=families)

    def rotate(count: int) -> tuple[int, float]:
        started = time.monotonic()
        done = update.run(f"--client={CONNECTIONS}", f"--transactions={count // CONNECTIONS}")
        return done, time.monotonic() - started

    return rotate
