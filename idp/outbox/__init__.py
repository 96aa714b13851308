"""The transactional outbox of logout: notices written in the commit that ends a session, sent later by a worker (I4).

Owns the delivery rows: writing them (`enqueue`), leasing them to one worker (`claim_due`), deciding what follows an
attempt (`next_step`, pure) and recording it (`settle`). Refuses to know who is to be told (the caller names ended
participations, never tokens), to build a logout token, or to open a connection: `idp.logout.backchannel` does.
Serves OpenID Connect Back-Channel Logout 1.0.
"""

from idp.outbox.backlog import Backlog, measure_backlog
from idp.outbox.claim import Claimed, Lane, claim_due, find_next_due
from idp.outbox.enqueue import NOTIFY_CHANNEL, EndedParticipation, Written, enqueue
from idp.outbox.heartbeat import find_last_report, forget_worker, report_worker
from idp.outbox.next_step import CouldNotBuild, NextStep, Outcome, Retry, Settle, failure_of, next_step
from idp.outbox.settle import release, settle

__all__ = [
    "NOTIFY_CHANNEL",
    "Backlog",
    "Claimed",
    "CouldNotBuild",
    "EndedParticipation",
    "Lane",
    "NextStep",
    "Outcome",
    "Retry",
    "Settle",
    "Written",
    "claim_due",
    "enqueue",
    "failure_of",
    "find_last_report",
    "find_next_due",
    "forget_worker",
    "measure_backlog",
    "next_step",
    "release",
    "report_worker",
    "settle",
]
