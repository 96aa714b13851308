"""`idp worker`: delivers logout notices and writes down the ends that time brings. As many may run as one likes.

Owns the loop: claim what is due, attempt it in a bounded pool of threads, record the outcome, each in a transaction of
its own and none open during HTTP. It never exits for trouble: a database that is away, a notice that can't be built and
an application that hangs are each logged and outlived. Decides nothing about notices; `idp.outbox` does (design §7).
"""

import os
import random
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from idp import mail, outbox, retention, sessions
from idp.kit import metrics
from idp.kit.host_limits import HostLimits
from idp.logout.backchannel import send_notice
from idp.outbox import Claimed, CouldNotBuild, Lane, Settle
from idp.outbox.wake import WakeUp
from idp.web.services import Services

# An attempt this old is waiting for a slow application: it stops counting against its lane, so that any number of
# hanging applications delays the others by at most this long.
SLOW_AFTER_SECONDS = 0.5
# How many slow attempts there may be on top, as a multiple of `deliveries_at_once`; each ends by its own deadline.
SLOW_FACTOR = 7
SWEEP_EVERY_SECONDS = (10.0, 30.0)  # at random between, so that several workers spread out
SWEEP_BATCH = 50
MAIL_EVERY_SECONDS = 5.0
# The first some time after the start, at random, so that several workers and many restarts do not all begin with it.
FIRST_PURGE_AFTER_SECONDS = (300.0, 3600.0)
PURGE_EVERY_SECONDS = 24 * 3600.0
# Between two batches: on SQLite each takes the one writer's place.
PURGE_PAUSE_SECONDS = 0.1
REPORT_EVERY_SECONDS = 10.0
# A loop that has not come round for this long (beyond its own waiting) hangs, and is no longer reported as alive.
HANGS_AFTER_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
SHORTEST_PAUSE_SECONDS = 0.5
# With work due that nobody could take just now (another worker is claiming it, or its lane is full).
CROWDED_PAUSE_SECONDS = 0.2

log = structlog.get_logger("idp.worker")


def new_holder() -> str:
    """The name under which this process holds leases: never used twice."""
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{secrets.token_hex(8)}"


def describe(error: Exception) -> str:
    """What happened, for a log line: the first line only, since drivers quote values in the following ones."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines() if isinstance(error, DBAPIError) else []
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__


# ── One step each; tests call these ───────────────────────────────────────────────────────────────────────────────────


def attempt(services: Services, claimed: Claimed) -> bool:
    """Try once to deliver, and record what came of it; False when the lease was lost meanwhile.

    Raises only when the outcome can't be recorded.
    """
    started = time.monotonic()
    try:
        outcome = send_notice(services, claimed)
    except Exception as error:
        # A notice that trips over a bug is retried like any other, and stops neither the worker nor other notices.
        log.exception("notice_could_not_be_sent", delivery=claimed.id)
        outcome = CouldNotBuild(f"unexpected {type(error).__name__}")
    now = services.clock.now()
    step = outbox.next_step(outcome, claimed, now=now, settings=services.settings, jitter=random.random())  # noqa: S311
    with services.database.transaction() as tx:
        is_recorded = outbox.settle(tx, claimed, step, outcome, now=now)
    result = step.state if isinstance(step, Settle) else "retry"
    metrics.count_delivery(result if is_recorded else "lost_lease")
    log.info(
        "notice_attempted",
        delivery=claimed.id,
        client=claimed.client_id,
        host=claimed.host,
        attempt=claimed.attempts,
        result=result,
        reason=outbox.failure_of(outcome),
        again_at=None if isinstance(step, Settle) else step.at.isoformat(),
        milliseconds=round((time.monotonic() - started) * 1000),
        recorded=is_recorded,
    )
    return is_recorded


def deliver_due(services: Services, *, holder: str | None = None) -> int:
    """Attempt everything that is due now, one after the other, and return how many attempts that were."""
    holder = holder or new_holder()
    attempts = 0
    while True:
        now = services.clock.now()
        with services.database.transaction() as tx:
            claimed = outbox.claim_due(tx, holder=holder, limit=100, now=now, settings=services.settings)
        if not claimed:
            return attempts
        for one in claimed:
            attempt(services, one)
            attempts += 1


def sweep_expired(services: Services, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """End the sessions whose time is over, in small transactions; returns how many sessions were looked at."""
    looked_at = 0
    while not is_stopping():
        with services.database.transaction() as tx:
            batch = sessions.sweep(tx, now=services.clock.now(), settings=services.settings, limit=SWEEP_BATCH)
        for reason, number in batch.ended.items():
            metrics.count_ends(reason, number)
        if not batch.looked_at:
            break
        looked_at += batch.looked_at
    return looked_at


def deliver_mail(services: Services, *, holder: str | None = None) -> int:
    """Try to send the mail that is due, one after the other, none in a transaction; returns how many attempts."""
    holder, attempts = holder or new_holder(), 0
    while True:
        with services.database.transaction() as tx:
            claimed = mail.claim_due_mail(tx, holder=holder, now=services.clock.now())
        if not claimed:
            return attempts
        for message in claimed:
            attempts += 1
            problem = mail.send(message, settings=services.settings, now=services.clock.now())
            with services.database.transaction() as tx:
                state = mail.settle_mail(
                    tx,
                    message,
                    failure=problem.detail if problem else None,
                    is_final=problem is not None and problem.is_final,
                    settings=services.settings,
                    now=services.clock.now(),
                )
            log.info(
                "mail_attempted",
                message=message.id,
                attempt=message.attempts,
                result=state,
                reason=problem.detail if problem else None,
            )


def purge(services: Services, *, pause: Callable[[], bool] = lambda: False) -> dict[str, int]:
    """Delete what nothing needs any more, batch by batch; returns how many rows of each kind.

    `pause` is called between the batches, and stops the purge by returning True.
    """
    gone: dict[str, int] = {}
    for kind in retention.KINDS:
        while True:
            with services.database.transaction() as tx:
                batch = retention.purge_batch(tx, kind, settings=services.settings, now=services.clock.now())
            if batch:
                gone[kind.name] = gone.get(kind.name, 0) + batch
            if pause():
                return gone
            if not batch:
                break
    return gone


def tighten_hints(services: Services, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Bring the hints of all live sessions to today's policy, in small transactions: nobody waits for the whole."""
    after: str | None = ""
    while after is not None and not is_stopping():
        with services.database.transaction() as tx:
            after = sessions.tighten_hints(tx, settings=services.settings, after=after)


# ── The process ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Worker:
    """One worker: `run` returns after `stop`, when what was under way is recorded or given back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._holder = new_holder()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        at_once = services.settings.deliveries_at_once
        self._lanes = {lane: _LaneUse(at_once) for lane in Lane}
        places = len(Lane) * at_once * (1 + SLOW_FACTOR)
        self._hosts = HostLimits(per_host=services.settings.deliveries_per_host, total=places)
        self._pool = ThreadPoolExecutor(places, thread_name_prefix="delivery")
        self._waiting_lock = threading.Lock()
        self._waiting: dict[str, Claimed] = {}
        self._came_round_at = time.monotonic()

    def stop(self) -> None:
        """Ask `run` to come to an end. Safe in a signal handler and from any thread."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Work until `stop`."""
        log.info("worker_started", holder=self._holder)
        wake_up = WakeUp(self._services.database.engine, self._wake.set)
        wake_up.start()
        sweeper = threading.Thread(target=self._sweep_regularly, name="sweep", daemon=True)
        sweeper.start()
        mailer = threading.Thread(target=self._mail_regularly, name="mail", daemon=True)
        mailer.start()
        purger = threading.Thread(target=self._purge_regularly, name="purge", daemon=True)
        purger.start()
        reporter = threading.Thread(target=self._report_regularly, name="report", daemon=True)
        reporter.start()
        try:
            self._deliver_until_stopped()
        finally:
            self.stop()
            wake_up.stop()
            self._give_back_waiting()
            self._pool.shutdown(wait=True)  # each attempt has its deadline: seconds at most
            sweeper.join(timeout=5)
            mailer.join(timeout=5)
            purger.join(timeout=5)
            reporter.join(timeout=5)
            wake_up.join(timeout=2)
            log.info("worker_stopped", holder=self._holder)

    def _deliver_until_stopped(self) -> None:
        pause = _Pause()
        while not self._stopping.is_set():
            self._wake.clear()
            self._came_round_at = time.monotonic()
            try:
                seconds = self._claim_and_start()
                pause.reset()
            except Exception as error:  # noqa: BLE001 - whatever it is: a worker that exits delivers nothing
                seconds = pause.next()
                log.warning("claiming_failed", error=describe(error), again_in_seconds=seconds)
                self._stopping.wait(seconds)  # not for a wake-up: those still come
                continue
            if seconds > 0:
                self._wake.wait(seconds)

    def _claim_and_start(self) -> float:
        """Start what is due and may start. Returns for how many seconds there is nothing to do unless woken."""
        services, settings = self._services, self._services.settings
        poll = settings.worker_poll_lifetime.total_seconds()
        full_hosts = self._hosts.find_full_hosts()
        # Look before claiming: on SQLite a claim takes the one writer's place, and every commit wakes us.
        with services.database.reading() as tx:
            due_at = outbox.find_next_due(tx, full_hosts=full_hosts)
        if due_at is None:
            return poll
        now = services.clock.now()
        if due_at > now:
            return min(poll, (due_at - now) / timedelta(seconds=1))
        started = sum(self._claim_in(lane, full_hosts) for lane in Lane)
        return 0.0 if started else min(poll, CROWDED_PAUSE_SECONDS)

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

    def _start(self, claimed: Claimed, use: "_LaneUse") -> None:
        with self._waiting_lock:
            self._waiting[claimed.id] = claimed
        use.enter(claimed.id)
        self._pool.submit(self._attempt_in_thread, claimed, use)

    def _attempt_in_thread(self, claimed: Claimed, use: "_LaneUse") -> None:
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
            self._wake.set()

    def _give_back_waiting(self) -> None:
        """What was leased but not begun goes to the other workers now, not when its lease runs out."""
        with self._waiting_lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        try:
            with self._services.database.transaction() as tx:
                outbox.release(tx, waiting, now=self._services.clock.now())
        except Exception as error:  # noqa: BLE001 - on the way out; the leases run out by themselves
            log.warning("leases_not_given_back", error=describe(error), leases=len(waiting))

    def _sweep_regularly(self) -> None:
        pause, has_tightened = _Pause(), False
        while not self._stopping.is_set():
            try:
                if not has_tightened:  # a policy that was made shorter ends old sessions visibly too
                    tighten_hints(self._services, is_stopping=self._stopping.is_set)
                    has_tightened = True
                sweep_expired(self._services, is_stopping=self._stopping.is_set)
                pause.reset()
                seconds = random.uniform(*SWEEP_EVERY_SECONDS)  # noqa: S311
            except Exception as error:  # noqa: BLE001 - the next round finds the same sessions
                seconds = pause.next()
                log.warning("sweep_failed", error=describe(error), again_in_seconds=seconds)
            self._stopping.wait(seconds)

    def _purge_regularly(self) -> None:
        pause = _Pause()
        seconds = random.uniform(*FIRST_PURGE_AFTER_SECONDS)  # noqa: S311
        while not self._stopping.wait(seconds):
            try:
                gone = purge(self._services, pause=lambda: self._stopping.wait(PURGE_PAUSE_SECONDS))
                pause.reset()
                seconds = PURGE_EVERY_SECONDS
                log.info("purged", **gone)
            except Exception as error:  # noqa: BLE001 - the next round finds the same rows
                seconds = pause.next()
                log.warning("purge_failed", error=describe(error), again_in_seconds=seconds)

    def _mail_regularly(self) -> None:
        pause = _Pause()
        while not self._stopping.is_set():
            try:
                deliver_mail(self._services, holder=self._holder)
                pause.reset()
                seconds = MAIL_EVERY_SECONDS
            except Exception as error:  # noqa: BLE001 - the leases run out, and the messages come due again
                seconds = pause.next()
                log.warning("mail_failed", error=describe(error), again_in_seconds=seconds)
            self._stopping.wait(seconds)

    def _report_regularly(self) -> None:
        """Tell readiness and metrics that this worker lives; a row that can't be written is what they must see."""
        patience = HANGS_AFTER_SECONDS + self._services.settings.worker_poll_lifetime.total_seconds()
        while not self._stopping.is_set():
            try:
                if time.monotonic() - self._came_round_at < patience:
                    with self._services.database.transaction() as tx:
                        outbox.report_worker(tx, name=self._holder, now=self._services.clock.now())
                else:
                    log.error("worker_hangs", holder=self._holder)
            except Exception as error:  # noqa: BLE001 - the next round tries again
                log.warning("report_failed", error=describe(error))
            self._stopping.wait(REPORT_EVERY_SECONDS)
        try:
            with self._services.database.transaction() as tx:
                outbox.forget_worker(tx, name=self._holder)
        except Exception as error:  # noqa: BLE001 - on the way out; the row is forgotten by its age
            log.warning("report_failed", error=describe(error))


class _LaneUse:
    """Who is under way in one lane, and since when."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}

    def room(self) -> int:
        """How many more may start now."""
        with self._lock:
            slow_since = time.monotonic() - SLOW_AFTER_SECONDS
            young = sum(began > slow_since for began in self._began.values())
            return max(0, min(self._at_once - young, self._at_once * (1 + SLOW_FACTOR) - len(self._began)))

    def enter(self, delivery_id: str) -> None:
        with self._lock:
            self._began[delivery_id] = time.monotonic()

    def leave(self, delivery_id: str) -> None:
        with self._lock:
            self._began.pop(delivery_id, None)


class _Pause:
    """How long to wait after an error: longer after each, short again after a success."""

    def __init__(self) -> None:
        self._seconds = SHORTEST_PAUSE_SECONDS

    def next(self) -> float:
        seconds, self._seconds = self._seconds, min(LONGEST_PAUSE_SECONDS, self._seconds * 2)
        return seconds

    def reset(self) -> None:
        self._seconds = SHORTEST_PAUSE_SECONDS
