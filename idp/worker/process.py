"""The process `idp worker`: one loop that delivers notices, and the regular rounds beside it, until it is stopped.

Owns the start, the wake-ups and an end in good order: what is under way is recorded or given back. It never exits for
trouble: a database that is away, a notice that can't be built and an application that hangs are each logged and
outlived.
"""

import threading
import time
from collections.abc import Callable

import structlog

from idp.db.trouble import describe
from idp.outbox.wake import WakeUp
from idp.web.services import Services
from idp.worker import rounds
from idp.worker.delivering import Delivering
from idp.worker.steps import new_holder
from idp.worker.trouble import Pause

log = structlog.get_logger("idp.worker")


class Worker:
    """One worker: `run` returns after `stop`, when what was under way is recorded or given back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._holder = new_holder()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._delivering = Delivering(services, holder=self._holder, wake=self._wake.set)
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
        beside = [threading.Thread(target=run, name=name, daemon=True) for name, run in self._rounds().items()]
        for thread in beside:
            thread.start()
        try:
            self._deliver_until_stopped()
        finally:
            self.stop()
            wake_up.stop()
            self._delivering.give_back_waiting()
            self._delivering.finish()
            for thread in beside:
                thread.join(timeout=5)
            wake_up.join(timeout=2)
            log.info("worker_stopped", holder=self._holder)

    def _rounds(self) -> dict[str, Callable[[], None]]:
        services, stopping, holder = self._services, self._stopping, self._holder
        return {
            "sweep": lambda: rounds.sweep_regularly(services, stopping),
            "mail": lambda: rounds.mail_regularly(services, stopping, holder=holder),
            "self_tests": lambda: rounds.self_test_regularly(services, stopping),
            "purge": lambda: rounds.purge_regularly(services, stopping),
            "report": lambda: rounds.report_regularly(
                services, stopping, holder=holder, came_round_at=lambda: self._came_round_at
            ),
        }

    def _deliver_until_stopped(self) -> None:
        pause = Pause()
        while not self._stopping.is_set():
            self._wake.clear()
            self._came_round_at = time.monotonic()
            try:
                seconds = self._delivering.claim_and_start()
                pause.reset()
            except Exception as error:  # noqa: BLE001 - whatever it is: a worker that exits delivers nothing
                seconds = pause.next()
                log.warning("claiming_failed", error=describe(error), again_in_seconds=seconds)
                self._stopping.wait(seconds)  # not for a wake-up: those still come
                continue
            if seconds > 0:
                self._wake.wait(seconds)
