"""What a worker does besides notices: sweep, mail, self-tests, purge, and report that it lives. Each runs in a thread.

Owns how often, and that no error ends a round: it is logged and the next round comes later. Refuses to know what a step
does (`idp.worker.steps`). Each returns after `stopping` was set, between two steps.
"""

import random
import threading
import time
from collections.abc import Callable

import structlog

from idp import outbox
from idp.db.trouble import describe
from idp.web.services import Services
from idp.worker.steps import Hints, deliver_mail, purge, run_self_tests, sweep_expired
from idp.worker.trouble import Pause

SWEEP_EVERY_SECONDS = (10.0, 30.0)  # at random between, so that several workers spread out
MAIL_EVERY_SECONDS = 5.0
SELF_TESTS_EVERY_SECONDS = 2.0  # somebody is looking at a page
# The first some time after the start, at random, so that several workers and many restarts do not all begin with it.
FIRST_PURGE_AFTER_SECONDS = (300.0, 3600.0)
PURGE_EVERY_SECONDS = 24 * 3600.0
# Between two batches: on SQLite each takes the one writer's place.
PURGE_PAUSE_SECONDS = 0.1
REPORT_EVERY_SECONDS = 10.0
# A loop that has not come round for this long (beyond its own waiting) hangs, and is no longer reported as alive.
HANGS_AFTER_SECONDS = 60.0

log = structlog.get_logger("idp.worker")


def sweep_regularly(services: Services, stopping: threading.Event) -> None:
    """Write down the ends that time brings."""
    pause, hints = Pause(), Hints()
    while not stopping.is_set():
        try:
            hints.follow_policy(services, is_stopping=stopping.is_set)
            sweep_expired(services, is_stopping=stopping.is_set)
            pause.reset()
            seconds = random.uniform(*SWEEP_EVERY_SECONDS)  # noqa: S311
        except Exception as error:  # noqa: BLE001 - the next round finds the same sessions
            seconds = pause.next()
            log.warning("sweep_failed", error=describe(error), again_in_seconds=seconds)
        stopping.wait(seconds)


def purge_regularly(services: Services, stopping: threading.Event) -> None:
    """Delete what nothing needs any more."""
    pause = Pause()
    seconds = random.uniform(*FIRST_PURGE_AFTER_SECONDS)  # noqa: S311
    while not stopping.wait(seconds):
        try:
            gone = purge(services, pause=lambda: stopping.wait(PURGE_PAUSE_SECONDS))
            pause.reset()
            seconds = PURGE_EVERY_SECONDS
            log.info("purged", **gone)
        except Exception as error:  # noqa: BLE001 - the next round finds the same rows
            seconds = pause.next()
            log.warning("purge_failed", error=describe(error), again_in_seconds=seconds)


def mail_regularly(services: Services, stopping: threading.Event, *, holder: str) -> None:
    """Send the mail that is due."""
    pause = Pause()
    while not stopping.is_set():
        try:
            deliver_mail(services, holder=holder)
            pause.reset()
            seconds = MAIL_EVERY_SECONDS
        except Exception as error:  # noqa: BLE001 - the leases run out, and the messages come due again
            seconds = pause.next()
            log.warning("mail_failed", error=describe(error), again_in_seconds=seconds)
        stopping.wait(seconds)


def self_test_regularly(services: Services, stopping: threading.Event) -> None:
    """Run what developers of applications asked to be tested."""
    pause = Pause()
    while not stopping.is_set():
        try:
            run_self_tests(services, is_stopping=stopping.is_set)
            pause.reset()
            seconds = SELF_TESTS_EVERY_SECONDS
        except Exception as error:  # noqa: BLE001 - the lease runs out, and the test comes due again
            seconds = pause.next()
            log.warning("self_test_failed", error=describe(error), again_in_seconds=seconds)
        stopping.wait(seconds)


def report_regularly(
    services: Services, stopping: threading.Event, *, holder: str, came_round_at: Callable[[], float]
) -> None:
    """Tell readiness and metrics that this worker lives; a row that can't be written is what they must see."""
    patience = HANGS_AFTER_SECONDS + services.settings.worker_poll_lifetime.total_seconds()
    while not stopping.is_set():
        try:
            if time.monotonic() - came_round_at() < patience:
                with services.database.transaction() as tx:
                    outbox.report_worker(tx, name=holder, now=services.clock.now())
            else:
                log.error("worker_hangs", holder=holder)
        except Exception as error:  # noqa: BLE001 - the next round tries again
            log.warning("report_failed", error=describe(error))
        stopping.wait(REPORT_EVERY_SECONDS)
    try:
        with services.database.transaction() as tx:
            outbox.forget_worker(tx, name=holder)
    except Exception as error:  # noqa: BLE001 - on the way out; the row is forgotten by its age
        log.warning("report_failed", error=describe(error))
