"""What follows an attempt to deliver a notice: told, another attempt at a certain time, or the end of trying. Pure.

Serves OIDC Back-Channel Logout §2.7 and §2.8, RFC 9110 §10.2.3 (Retry-After) and design §7. "Told" means that the
application answered 2xx; whether it logged anybody out can't be proved and is never claimed.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from idp.db.models import DeliveryState
from idp.kit.outbound import OutboundAnswer, OutboundFailure
from idp.outbox.claim import Claimed
from idp.settings import Settings

# The application is there but can't take it now; design §7.
_NOT_NOW = frozenset({408, 429})
# It says no, which a deployment under way or a fixed configuration may change within the hour.
_NO = frozenset({400, 401, 403, 404, 410})
_WAITS_AFTER_NO = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=49))
LONGEST_BACK_OFF = timedelta(minutes=10)
# An application that asks for a week is asked again after an hour: people are waiting on the receipt.
LONGEST_RETRY_AFTER = timedelta(hours=1)
MAX_FAILURE_LENGTH = 300


@dataclass(frozen=True)
class CouldNotBuild:
    """No attempt left this server: the logout token could not be made. `detail` is for operators and has no secret."""

    detail: str


Outcome = OutboundAnswer | OutboundFailure | CouldNotBuild


@dataclass(frozen=True)
class Retry:
    """Try again at `at`. `is_refusal`: the application said no, which it may do three times."""

    at: datetime
    is_refusal: bool = False


@dataclass(frozen=True)
class Settle:
    """The delivery is over."""

    state: DeliveryState


NextStep = Retry | Settle


def next_step(outcome: Outcome, claimed: Claimed, *, now: datetime, settings: Settings, jitter: float) -> NextStep:
    """Decide after the attempt that `claimed` was leased for. `jitter` (0 … 1) shortens waits by up to a half.

    Random waits keep the notices that one outage held up from coming back all at once.
    """
    status = status_of(outcome)
    if status is not None and 200 <= status <= 299:
        return Settle(DeliveryState.TOLD)
    if status is not None and status in _NO:
        if claimed.refusals >= len(_WAITS_AFTER_NO):
            return Settle(DeliveryState.REFUSED)
        wait = _WAITS_AFTER_NO[claimed.refusals]
        return _retry(wait, claimed, now=now, settings=settings, is_refusal=True)
    if status is not None and status not in _NOT_NOW and status < 500:
        # 3xx (never followed: a redirect could lead anywhere) and whatever else: asking again gives the same answer.
        return Settle(DeliveryState.REFUSED)
    wait = _back_off(claimed.attempts) * (1 - jitter / 2)
    if isinstance(outcome, OutboundAnswer):
        asked = read_retry_after(outcome.headers.get("retry-after"), now=now)
        wait = max(wait, min(asked, LONGEST_RETRY_AFTER))
    return _retry(wait, claimed, now=now, settings=settings)


def status_of(outcome: Outcome) -> int | None:
    """The HTTP status that the application sent, even when the rest of its answer did not arrive or was too long."""
    return None if isinstance(outcome, CouldNotBuild) else outcome.status


def failure_of(outcome: Outcome) -> str | None:
    """What went wrong, for operators: nothing that the other side sent is in it."""
    match outcome:
        case OutboundAnswer(status=status):
            return None if 200 <= status <= 299 else f"answered {status}"
        case OutboundFailure(kind=kind, detail=detail):
            return f"{kind}: {detail}"[:MAX_FAILURE_LENGTH]
        case CouldNotBuild(detail=detail):
            return detail[:MAX_FAILURE_LENGTH]


def read_retry_after(value: str | None, *, now: datetime) -> timedelta:
    """How long the header asks us to wait: seconds or an HTTP date (RFC 9110 §10.2.3). Zero for nonsense."""
    if value is None:
        return timedelta(0)
    text = value.strip()
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return timedelta(seconds=int(text) if len(text) <= 9 else 10**9)
    try:
        moment = parsedate_to_datetime(text)
        # "GMT" and "-0000" give a naive time, which is meant as UTC.
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return max(timedelta(0), moment - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return timedelta(0)


def _back_off(attempts: int) -> timedelta:
    """1 s, 2 s, 4 s … at most ten minutes, after the first, second, third … attempt."""
    return min(LONGEST_BACK_OFF, timedelta(seconds=2 ** min(attempts - 1, 20)))


def _retry(
    wait: timedelta, claimed: Claimed, *, now: datetime, settings: Settings, is_refusal: bool = False
) -> NextStep:
    deadline = claimed.created_at + settings.delivery_deadline_lifetime
    if now >= deadline:
        return Settle(DeliveryState.REFUSED if is_refusal else DeliveryState.GAVE_UP)
    # The last attempt is at the deadline itself, rather than an hour before it.
    return Retry(min(now + wait, deadline), is_refusal=is_refusal)
