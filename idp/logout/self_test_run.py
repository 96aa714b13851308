"""Runs a self-test: posts each case to the application's registered address, one after the other, and keeps statuses.

Called by the worker, never inside a transaction: the worker is who tells applications for real, from where it can reach
them (docs/adr/0013). Of an answer only the status, the time and whether it forbids storing are kept; of a failure only
the word that others than the operator may know (design §7). The exact cause goes to the log.
"""

import time
from typing import Any

import structlog

from idp.db.models import Client
from idp.keys import KeyUnavailable
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundFailure
from idp.logout.backchannel import MAX_ANSWER_BYTES
from idp.logout.sample_notice import sample_notice
from idp.logout.self_test_cases import CASES, Case, case_form
from idp.outbox import Outcome, failure_of
from idp.outbox.next_step import status_of
from idp.web.services import Services

# All ten together. A slow application is known as one after the first.
WHOLE_SECONDS = 25.0
NOT_SENT = "not_sent"

log = structlog.get_logger(__name__)


def run_self_test(services: Services, client: Client) -> list[dict[str, Any]]:
    """One result per case: `case`, `status`, `failure`, `milliseconds`, `no_store`. Takes `WHOLE_SECONDS` at most."""
    until = time.monotonic() + WHOLE_SECONDS
    results: list[dict[str, Any]] = []
    for case in CASES:
        left = until - time.monotonic()
        if left <= 0 or _is_useless(results):
            results.append(_result(case, None, failure=NOT_SENT))
        else:
            results.append(_send(services, client, case, seconds=left))
    return results


def _is_useless(results: list[dict[str, Any]]) -> bool:
    """Nobody answered the genuine notice: nine more time-outs would say no more."""
    return bool(results) and results[0]["status"] is None


def _send(services: Services, client: Client, case: Case, *, seconds: float) -> dict[str, Any]:
    now = services.clock.now()
    try:
        notice = sample_notice(client, now=now)
        signer = services.keys.signer(notice.algorithm, now)
    except (ValueError, KeyUnavailable) as trouble:
        log.warning("self_test_not_sent", client=client.id, case=case.name, reason=str(trouble))
        return _result(case, None, failure=NOT_SENT)
    outcome = services.outbound.post_form(
        notice.uri,
        case_form(case, notice, signer=signer, issuer=services.settings.issuer, now=now),
        operator_registered=notice.operator_registered,
        deadline_seconds=min(seconds, services.settings.delivery_request_lifetime.total_seconds()),
        max_bytes=MAX_ANSWER_BYTES,
    )
    log.info("self_test_sent", client=client.id, case=case.name, host=notice.host, reason=failure_of(outcome))
    return _result(case, outcome, failure=_public_failure(outcome))


def _result(case: Case, outcome: Outcome | None, *, failure: str | None) -> dict[str, Any]:
    answer = outcome if isinstance(outcome, OutboundAnswer) else None
    return {
        "case": case.name,
        "status": status_of(outcome) if outcome is not None else None,
        "failure": failure,
        "milliseconds": round(answer.elapsed_seconds * 1000) if answer else None,
        "no_store": "no-store" in answer.headers.get("cache-control", "").lower() if answer else False,
    }


def _public_failure(outcome: Outcome) -> str | None:
    """For a developer, who is not the operator: blocked or unreachable, and no more (design §7)."""
    match outcome:
        case OutboundFailure(kind=FailureKind.BLOCKED):
            return "blocked"
        case OutboundFailure():
            return "unreachable"
        case _:
            return None
