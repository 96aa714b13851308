"""What follows an attempt: the table of design §7, without a database or a network."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.db.models import DeliveryState
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundFailure
from idp.outbox import Claimed, CouldNotBuild, Outcome, Retry, Settle, next_step
from idp.outbox.next_step import failure_of, read_retry_after
from idp.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = Settings()


def claimed(*, attempts: int = 1, refusals: int = 0, age: timedelta = timedelta(0)) -> Claimed:
    return Claimed(
        id="d",
        client_id="c",
        uri="https://rp.example/logout",
        host="rp.example",
        operator_registered=True,
        audience="c",
        sub="s",
        sid="i",
        algorithm="ES256",
        ended_at=NOW - age,
        created_at=NOW - age,
        attempts=attempts,
        refusals=refusals,
        holder="h",
        leased_until=NOW,
    )


def answer(status: int, **headers: str) -> OutboundAnswer:
    return OutboundAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"", 0.1)


def step(outcome: Outcome, jitter: float = 0.0, **of_claimed: Any) -> Retry | Settle:
    return next_step(outcome, claimed(**of_claimed), now=NOW, settings=SETTINGS, jitter=jitter)


def seconds_until_retry(outcome: Outcome, jitter: float = 0.0, **of_claimed: Any) -> float:
    decided = step(outcome, jitter, **of_claimed)
    assert isinstance(decided, Retry), decided
    return (decided.at - NOW).total_seconds()


UNREACHABLE = OutboundFailure(FailureKind.UNREACHABLE, "rp.example:443: refused")


@pytest.mark.spec("OIDC Back-Channel Logout", "2.8")
@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_counts_as_told(status: int) -> None:
    assert step(answer(status)) == Settle(DeliveryState.TOLD)


def test_a_2xx_counts_even_when_the_rest_of_the_answer_was_too_long_or_never_came() -> None:
    assert step(OutboundFailure(FailureKind.TOO_LARGE, "x", 200)) == Settle(DeliveryState.TOLD)
    assert step(OutboundFailure(FailureKind.TIMED_OUT, "x", 204)) == Settle(DeliveryState.TOLD)
    assert isinstance(step(OutboundFailure(FailureKind.TIMED_OUT, "x", None)), Retry)


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 303, 307, 308, 402, 405, 411, 413, 415, 418, 421, 451])
def test_redirects_and_the_rest_are_final(status: int) -> None:
    assert step(answer(status)) == Settle(DeliveryState.REFUSED)


@pytest.mark.parametrize(
    "outcome",
    [answer(408), answer(429), answer(500), answer(503), answer(599), UNREACHABLE, CouldNotBuild("no key")]
    + [OutboundFailure(kind, "x") for kind in FailureKind],
)
def test_what_may_pass_is_tried_again_with_growing_waits_of_at_most_ten_minutes(outcome: Outcome) -> None:
    waits = [seconds_until_retry(outcome, attempts=attempts) for attempts in range(1, 14)]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]


def test_a_thousandth_attempt_is_still_only_ten_minutes_away() -> None:
    assert seconds_until_retry(UNREACHABLE, attempts=1000) == 600


def test_jitter_shortens_a_wait_by_at_most_a_half() -> None:
    assert seconds_until_retry(UNREACHABLE, attempts=5, jitter=1.0) == 8
    assert 8 < seconds_until_retry(UNREACHABLE, attempts=5, jitter=0.5) < 16


def test_after_a_day_we_give_up_and_not_before() -> None:
    almost = timedelta(hours=24) - timedelta(seconds=10)

    assert seconds_until_retry(UNREACHABLE, attempts=100, age=almost) == 10  # the last attempt is at the deadline
    assert step(UNREACHABLE, attempts=101, age=timedelta(hours=24)) == Settle(DeliveryState.GAVE_UP)
    assert step(answer(200), attempts=101, age=timedelta(hours=25)) == Settle(DeliveryState.TOLD)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_no_is_asked_again_three_times_within_an_hour_and_then_believed(status: int) -> None:
    waits = []
    for refusals in range(3):
        decided = step(answer(status), attempts=refusals + 1, refusals=refusals)
        assert isinstance(decided, Retry)
        assert decided.is_refusal
        waits.append((decided.at - NOW).total_seconds())

    assert sum(waits) == 3600
    assert step(answer(status), attempts=4, refusals=3) == Settle(DeliveryState.REFUSED)


def test_outages_do_not_use_up_the_tries_after_a_no() -> None:
    decided = step(answer(404), attempts=50, refusals=0)

    assert isinstance(decided, Retry)
    assert decided.is_refusal
    after_an_outage = step(UNREACHABLE, attempts=51, refusals=1)
    assert isinstance(after_an_outage, Retry)
    assert not after_an_outage.is_refusal


@pytest.mark.spec("RFC 9110", "10.2.3")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 1),  # our own back-off is the least
        ("999999999999999999999", 3600),
        ("Sat, 21 Nov 2026 12:05:00 GMT", 300),
        ("Saturday, 21-Nov-26 12:05:00 GMT", 300),
        ("Sat Nov 21 12:05:00 2026", 300),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 1),
        ("Sat, 21 Nov 2026 23:00:00 GMT", 3600),
        ("-5", 1),
        ("1e9", 1),
        ("١٢٠", 1),
        ("soon", 1),
        ("", 1),
        ("Sat, 99 Nov 2026 12:05:00 GMT", 1),
        ("Sat, 21 Nov 99999999999 12:05:00 GMT", 1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_up_to_an_hour_and_nonsense_ignored(value: str, seconds: float, status: int) -> None:
    assert seconds_until_retry(answer(status, retry_after=value)) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("999999999", 999_999_999),
        ("1000000000", 10**9),
        ("9999999999", 10**9),
        ("١٢٠", 0),
        ("Sat, 21 Nov 2026 13:00:00 +0100", 0),
        ("Sat, 21 Nov 2026 13:05:00 +0100", 300),
    ],
)
def test_retry_after_is_read_to_the_second_whatever_its_length_script_or_zone(value: str, seconds: int) -> None:
    assert read_retry_after(value, now=NOW) == timedelta(seconds=seconds)


def test_who_still_says_no_when_the_day_is_over_has_refused() -> None:
    over = timedelta(hours=24)

    assert step(answer(404), attempts=3, refusals=2, age=over) == Settle(DeliveryState.REFUSED)
    assert step(answer(503), attempts=3, refusals=2, age=over) == Settle(DeliveryState.GAVE_UP)


def test_retry_after_never_passes_the_deadline() -> None:
    age = timedelta(hours=23, minutes=50)

    assert seconds_until_retry(answer(503, retry_after="3600"), age=age) == 600


@given(st.text(max_size=60))
def test_no_retry_after_value_raises(value: str) -> None:
    assert read_retry_after(value, now=NOW) >= timedelta(0)


@given(
    status=st.integers(100, 599),
    attempts=st.integers(1, 5000),
    refusals=st.integers(0, 3),
    age=st.integers(0, 90_000),
    jitter=st.floats(0, 1),
    retry_after=st.one_of(st.none(), st.integers(0, 10**7).map(str)),
)
def test_every_retry_lies_ahead_and_within_the_day(
    status: int, attempts: int, refusals: int, age: int, jitter: float, retry_after: str | None
) -> None:
    outcome = answer(status) if retry_after is None else answer(status, retry_after=retry_after)
    one = claimed(attempts=attempts, refusals=refusals, age=timedelta(seconds=age))

    decided = next_step(outcome, one, now=NOW, settings=SETTINGS, jitter=jitter)

    if isinstance(decided, Retry):
        assert NOW < decided.at <= one.created_at + timedelta(hours=24)
    else:
        assert decided.state in {DeliveryState.TOLD, DeliveryState.REFUSED, DeliveryState.GAVE_UP}


def test_what_an_application_sent_is_never_kept() -> None:
    outcome = OutboundAnswer(500, {"retry-after": "<script>"}, b"<script>stack trace</script>", 0.1)

    assert failure_of(outcome) == "answered 500"
    assert failure_of(answer(200)) is None
    assert len(str(failure_of(OutboundFailure(FailureKind.UNREACHABLE, "x" * 5000)))) <= 300


def test_operators_are_told_what_went_wrong_and_nothing_when_nothing_did() -> None:
    assert failure_of(answer(299)) is None
    assert failure_of(answer(300)) == "answered 300"
    assert failure_of(OutboundFailure(FailureKind.UNREACHABLE, "no route")) == f"{FailureKind.UNREACHABLE}: no route"
    assert failure_of(CouldNotBuild("no key")) == "no key"
