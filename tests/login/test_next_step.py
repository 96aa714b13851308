"""The one decision of signing in."""

from datetime import UTC, datetime, timedelta

import pytest

from idp.login.next_step import SignInState, Step, next_step

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (SignInState(), Step.ASK_PASSWORD),
        (SignInState(signed_in_at=EARLIER), Step.GO_ON),
        (SignInState(signed_in_at=EARLIER, wants_other_account=True), Step.ASK_PASSWORD),
        (SignInState(signed_in_at=EARLIER, asked_at=NOW), Step.ASK_PASSWORD),
        (SignInState(signed_in_at=NOW, asked_at=EARLIER), Step.GO_ON),
        (SignInState(asked_at=NOW), Step.ASK_PASSWORD),
        (SignInState(proven=frozenset({"pwd"})), Step.START_SESSION),
        (SignInState(proven=frozenset({"pwd"}), signed_in_at=EARLIER, asked_at=NOW), Step.START_SESSION),
        (SignInState(proven=frozenset({"something else"})), Step.ASK_PASSWORD),
    ],
)
def test_the_next_step_follows_from_what_is_stored_and_proven(state: SignInState, step: Step) -> None:
    assert next_step(state) is step
