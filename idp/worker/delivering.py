"""Delivering at the same time: which notices this process has under way, in a bounded pool of threads.

Owns the places per lane and per host, what is leased but not begun, and giving that back. Refuses to decide anything
about a notice (`idp.outbox` does) and to loop: `idp.worker.process` asks it to `claim_and_start` again and again.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from idp import outbox
from idp.db.trouble import describe
from idp.kit.host_limits import HostLimits
from idp.outbox import Claimed, Lane
from idp.web.services import Services
from idp.worker.lanes import SLOW_AFTER_SECONDS, SLOW_FACTOR, LaneUse
from idp.worker.steps import attempt

# With work due that nobody could take just now (another worker is claiming it, or its lane is full).
CROWDED_PAUSE_SECONDS = 0.05
REPEATS_WAIT_SECONDS = 0.1

log = structlog.get_logger("idp.worker")


class Delivering:
    """The notices that one worker has under way. `wake` is called whenever a place became free."""

    def __init__(self, services: Services, *, holder: str, wake: Callable[[], None]) -> None:
        self._services = services
        self._holder = holder
        self._wake = wake
        at_once = services.settings.deliveries_at_once
        self._lanes = {lane: LaneUse(at_once) for lane in Lane}
        places = len(Lane) * at_once * (1 + SLOW_FACTOR)
        self._hosts = HostLimits(
            per_host=services.settings.deliveries_per_host, total=places, slow_after=SLOW_AFTER_SECONDS
        )
        self._pool = ThreadPoolExecutor(places, thread_name_prefix="delivery")
        self._waiting_lock = threading.Lock()
        self._waiting: dict[str, Claimed] = {}
        self._repeats_wait_since: float | None = None

    def claim_and_start(self) -> float:
        """Start what is due and may start. Returns for how many seconds there is nothing to do unless woken."""
        services, settings = self._services, self._services.settings
        poll = settings.worker_poll_lifetime.total_seconds()
        full_hosts = self._hosts.find_full_hosts()
        # Look before claiming: on SQLite a claim takes the one writer's place, and every commit wakes us.
        with services.database.single_core_statements(writes=False) as connection:
            due_at = outbox.find_next_due(connection, full_hosts=full_hosts)
        if due_at is None:
            return poll
        now = services.clock.now()
        if due_at > now:
            return min(poll, (due_at - now) / timedelta(seconds=1))
        started = self._claim_in(Lane.FIRST, full_hosts)
        if self._is_turn_of_repeats(started):
            started += self._claim_in(Lane.AGAIN, full_hosts)
        return 0.0 if started else min(poll, CROWDED_PAUSE_SECONDS)

    def _is_turn_of_repeats(self, started: int) -> bool:
        """Not while the attempts that have just begun need the processor, but at the latest a tenth of a second on."""
        now = time.monotonic()
        since = now if self._repeats_wait_since is None else self._repeats_wait_since
        is_their_turn = not started or now - since >= REPEATS_WAIT_SECONDS
        self._repeats_wait_since = None if is_their_turn else since
        return is_their_turn

    def _claim_in(self, lane: Lane, full_hosts: frozenset[str]) -> int:
        services, use = self._services, self._lanes[lane]
        room = use.room()
        if room == 0:
            return 0
        taken: Counter[str] = Counter()

        def may_take(host: str) -> bool:
            has_place = self._hosts.try_acquire(host)
            taken[host] += has_place
            return has_place

        claimed: list[Claimed] = []
        try:
            with services.database.transaction() as tx:
                claimed = outbox.claim_due(
                    tx,
                    holder=self._holder,
                    limit=room,
                    now=services.clock.now(),
                    settings=services.settings,
                    lane=lane,
                    full_hosts=full_hosts,
                    may_take=may_take,
                )
        except BaseException:
            claimed = []
            raise
        finally:
            for host in (taken - Counter(one.host for one in claimed)).elements():
                self._hosts.release(host)
        for one in claimed:
            self._start(one, use)
        return len(claimed)

    def _start(self, claimed: Claimed, use: LaneUse) -> None:
        with self._waiting_lock:
            self._waiting[claimed.id] = claimed
        use.enter(claimed.id)
        self._pool.submit(self._attempt_in_thread, claimed, use)

    def _attempt_in_thread(self, claimed: Claimed, use: LaneUse) -> None:
        try:
            with self._waiting_lock:
                is_ours = self._waiting.pop(claimed.id, None) is not None
            if is_ours:
                attempt(self._services, claimed)
        except Exception as error:  # noqa: BLE001 - the lease runs out, and the notice comes due again
            log.warning("outcome_not_recorded", delivery=claimed.id, error=describe(error))
        finally:
            use.leave(claimed.id)
            self._hosts.release(claimed.host)
            self._wake()

    def give_back_waiting(self) -> None:
        """What was leased but not begun goes to the other workers now, not when its lease runs out."""
        with self._waiting_lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        try:
            with self._services.database.transaction() as tx:
                outbox.release(tx, waiting, now=self._services.clock.now())
        except Exception as error:  # noqa: BLE001 - on the way out; the leases run out by themselves
            log.warning("leases_not_given_back", error=describe(error), leases=len(waiting))

    def finish(self) -> None:
        """Wait for the attempts under way: each has its deadline, so this takes seconds at most."""
        self._pool.shutdown(wait=True)
