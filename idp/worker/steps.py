"""One step of each kind of work: attempt a notice, send mail, run a self-test, sweep, purge. Tests call these directly.

Owns the order "claim, do it outside any transaction, record the outcome", each in a transaction of its own (design §7),
and the log line about it. Refuses to loop for ever, to wait, and to decide what follows an attempt: `idp.outbox` and
`idp.mail` do.
"""

import os
import random
import secrets
import socket
import time
from collections.abc import Callable

import structlog

from idp import mail, outbox, policy, retention, sessions
from idp.clients import self_test
from idp.kit import metrics
from idp.logout.backchannel import send_notice
from idp.logout.self_test_run import run_self_test
from idp.outbox import Claimed, CouldNotBuild, Settle
from idp.web.services import Services

SWEEP_BATCH = 50

log = structlog.get_logger("idp.worker")


def new_holder() -> str:
    """The name under which this process holds leases: never used twice."""
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{secrets.token_hex(8)}"


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
    # One statement: there is nothing to begin and to commit around it.
    with services.database.single_core_statements(writes=True) as connection:
        is_recorded = outbox.settle(connection, claimed, step, outcome, now=now)
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
    """End the sessions whose time is over, then applications' parts in others; returns how many were looked at.

    In small transactions.
    """
    looked_at = 0
    while not is_stopping():
        with services.database.transaction() as tx:
            batch = sessions.sweep(tx, now=services.clock.now(), settings=services.settings, limit=SWEEP_BATCH)
        for reason, number in batch.ended.items():
            metrics.count_ends(reason, number)
        if not batch.looked_at:
            break
        looked_at += batch.looked_at
    while not is_stopping():
        with services.database.transaction() as tx:
            parts = sessions.sweep_parts(tx, now=services.clock.now(), settings=services.settings, limit=SWEEP_BATCH)
        if not parts:
            break
        looked_at += parts
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


def run_self_tests(services: Services, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Run the self-tests that developers asked for, one after the other, none in a transaction; returns how many."""
    count = 0
    while not is_stopping():
        # Look before taking: on SQLite that takes the one writer's place.
        with services.database.reading() as tx:
            is_asked = self_test.has_waiting_test(tx, services.clock.now())
        if not is_asked:
            break
        with services.database.transaction() as tx:
            taken = self_test.take_test(tx, now=services.clock.now())
        if taken is None:
            break
        results = run_self_test(services, taken.client)
        with services.database.transaction() as tx:
            self_test.finish_test(tx, taken, results, now=services.clock.now())
        count += 1
    return count


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
    """Bring the hints of all live sessions, and parts in them, to today's policy, in small transactions."""
    after: str | None = ""
    while after is not None and not is_stopping():
        with services.database.transaction() as tx:
            after = sessions.tighten_hints(tx, settings=services.settings, after=after)
    after = ""
    while after is not None and not is_stopping():
        with services.database.transaction() as tx:
            after = sessions.tighten_part_hints(tx, after=after)


class Hints:
    """The sweep's hints, brought to the policy whenever it may have become shorter; each worker has its own."""

    def __init__(self) -> None:
        self._revision: int | None = None
        self._is_settled = False

    def follow_policy(self, services: Services, *, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Tighten at the start, after each change, and once more a round later; returns whether it did.

        Once more, because a sign-in under way during the change may have committed a hint of the policy before, behind
        the place where we were.
        """
        with services.database.reading() as tx:
            revision = policy.find_revision(tx)
        if self._is_settled and revision == self._revision:
            return False
        is_new = revision != self._revision
        tighten_hints(services, is_stopping=is_stopping)
        if not is_stopping():
            self._revision, self._is_settled = revision, not is_new
        return True
