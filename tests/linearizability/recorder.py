"""Runs clients, thieves and people against one family, on two nodes at once; records who was told what, and when."""

import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from idp import sessions, tokens
from idp.db.engine import Database, DatabaseBusy
from idp.db.models import Client, EndReason, User
from idp.kit.opaque import Secret
from idp.sessions import Actor
from idp.tokens import Issued
from idp.tokens.refresh_tokens import read_refresh_token, write_refresh_token
from tests.linearizability.checker import UNKNOWN, Operation
from tests.linearizability.family import REFUSED, FamilyState, Presented
from tests.support.heart import Heart, race

# What a thread does next, and how often; a little more of what keeps a family alive.
USUAL = ("refresh own",) * 6 + ("refresh older",) + ("introspect",) * 3
# What the nodes' clocks say when they are all over the place: most families end early, by what looks like reuse.
JUMPS = (0, 0, 0, 4, 11, 12, 23)
# And when they go on: so many calls and returns to a second, that a leeway passes once while the threads run. Much
# faster, and whoever waits for a connection for long presents what is reuse by then.
PACE = 24


@dataclass
class Recorder:
    """One family with everything that happens to it. `clock` counts calls and returns: one order for all threads."""

    heart: Heart
    nodes: list[Database]
    person: User
    client: Client
    first: Issued
    clocks_jump: bool = False
    history: list[Operation] = field(default_factory=list)
    _clock: "itertools.count[int]" = field(default_factory=itertools.count)
    _held: int = 1  # the generation in the file that all honest copies of the client share
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def start(self) -> FamilyState:
        """The family as it was redeemed."""
        return FamilyState(expires_at=self._seconds(self.first.access_expires_at), is_app=self._is_app)

    @property
    def _is_app(self) -> bool:
        return "offline_access" in self.first.scope

    def run(self, *, threads: int, each: int, seed: int, ends: tuple[str, ...]) -> None:
        """`threads` clients that share one token file, on both nodes; some of them do one of `ends` on their way."""
        chance = random.Random(seed)
        plans = [[chance.choice(USUAL) for _ in range(each)] for _ in range(threads)]
        for what in ends:
            plans[chance.randrange(threads)][chance.randrange(each)] = what
        jobs: list[Callable[[], Any]] = [
            partial(self._play, plan, self.nodes[number % len(self.nodes)], random.Random(chance.random()))
            for number, plan in enumerate(plans)
        ]
        race(jobs)

    def _play(self, plan: list[str], node: Database, chance: random.Random) -> None:
        for what in plan:
            now = chance.choice(JUMPS) if self.clocks_jump else next(self._clock) // PACE
            match what:
                case "refresh own" | "refresh older":
                    presented = max(1, self._held - (what == "refresh older"))
                    answer = self._record("refresh", Presented(presented, now), partial(self._refresh, node))
                    if isinstance(answer, tuple):
                        self._held = max(self._held, answer[0])
                case "refresh stolen":
                    self._record("refresh", Presented(1, now), partial(self._refresh, node))
                case "introspect":
                    self._record("introspect", Presented(self._held, now), partial(self._introspect, node))
                case "end" | "end everything":
                    self._record("end", now, partial(self._end, node, what == "end everything"))
                case "revoke":
                    self._record("revoke", now, partial(self._revoke, node))

    def _record(self, name: str, argument: Any, act: Callable[[Any], Any]) -> Any:
        called = next(self._clock)
        try:
            answer = act(argument)
        except (SQLAlchemyError, DatabaseBusy):  # a database under load may refuse: then nobody knows what it did
            answer = UNKNOWN
        operation = Operation(name, argument, answer, called, next(self._clock))
        with self._lock:
            self.history.append(operation)
        return answer

    # ── One operation each ──

    def _refresh(self, node: Database, presented: Presented) -> Any:
        answer = self.heart.refresh(
            self._token(presented.generation), self.client, database=node, now=self._moment(presented.now)
        )
        if not isinstance(answer, Issued):
            return REFUSED
        assert answer.refresh_token is not None
        read = read_refresh_token(answer.refresh_token.reveal(), self.heart.keyring)
        assert read is not None
        return read.generation, self._seconds(answer.access_expires_at)

    def _introspect(self, node: Database, presented: Presented) -> bool:
        with node.single_reads() as statements:
            live = tokens.check_refresh_token(
                statements,
                token=self._token(presented.generation).reveal(),
                settings=self.heart.settings,
                keyring=self.heart.keyring,
                now=self._moment(presented.now),
            )
        return live is not None

    def _end(self, node: Database, everything: bool, now: int) -> int | None:
        given: dict[str, Any] = {
            "user_id": self.person.id,
            "reason": EndReason.SIGNED_OUT_EVERYWHERE,
            "actor": Actor(),
            "settings": self.heart.settings,
            "now": self._moment(now),
        }
        with node.transaction() as tx:
            if everything:
                ended = sessions.end_everything(tx, except_session_id=None, **given)
            else:
                assert self.first.session_id is not None
                ended = sessions.end_sessions(tx, session_ids=[self.first.session_id], **given)
        if not (ended.apps if self._is_app else ended.browsers):
            return None
        assert ended.access_expires_at is not None
        return self._seconds(ended.access_expires_at)

    def _revoke(self, node: Database, now: int) -> bool:
        with node.transaction() as tx:
            return tokens.revoke_refresh_token(
                tx,
                token=self._token(1).reveal(),
                client_id=self.client.id,
                settings=self.heart.settings,
                keyring=self.heart.keyring,
                now=self._moment(now),
            )

    def _token(self, generation: int) -> Secret:
        assert self.first.refresh_token is not None
        read = read_refresh_token(self.first.refresh_token.reveal(), self.heart.keyring)
        assert read is not None
        return write_refresh_token(read.of_generation(generation), self.heart.keyring)

    def _moment(self, seconds: int) -> datetime:
        return self.heart.now + timedelta(seconds=seconds)

    def _seconds(self, moment: datetime) -> int:
        return round((moment - self.heart.now).total_seconds())
