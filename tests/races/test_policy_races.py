"""A decision against what is under way: refreshes, and sign-ins that begin under the policy before."""

import threading
from datetime import timedelta
from functools import partial

from idp import sessions
from idp.policy import Changed, ask_for_sign_in
from idp.tokens import Issued, Refused
from tests.support.heart import Heart, race

OFFLINE = "openid offline_access"


def test_no_refresh_that_begins_after_a_decision_was_acknowledged_succeeds(heart: Heart) -> None:
    """I2: whoever reads "at once" may rely on it, on every node."""
    client = heart.client()
    chains = [heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE) for _ in range(6)]
    heart.clock.advance(hours=2)
    nodes = [heart.open_database(), heart.open_database()]
    acknowledged = threading.Event()
    too_late: list[object] = []

    def refreshing(place: int) -> int:
        token, done = chains[place], 0
        while True:
            is_after = acknowledged.is_set()
            answer = heart.refresh(token, client, database=nodes[place % 2])
            if isinstance(answer, Refused):
                return done
            if is_after:
                too_late.append(answer)
                return done
            done += 1

    def deciding() -> None:
        with heart.database.transaction() as tx:
            ask_for_sign_in(tx, since=heart.now, client_id=None, actor="operator", now=heart.now)
        acknowledged.set()

    race([*(partial(refreshing, place) for place in range(6)), deciding])

    assert too_late == []
    assert all(isinstance(heart.refresh(token, client), Refused) for token in chains)


def test_a_refresh_and_a_shorter_idle_time_in_any_order_leave_one_truth(heart: Heart) -> None:
    """A refresh before the decision counts as use; one after it is too late."""
    client = heart.client()
    chains = [heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE) for _ in range(8)]
    heart.clock.advance(days=2)
    node = heart.open_database()

    *answers, changed = race(
        [
            *(partial(heart.refresh, token, client, database=node) for token in chains),
            partial(heart.decide, "app_idle_lifetime", "1d"),
        ]
    )

    assert isinstance(changed, Changed)
    for token, answer in zip(chains, answers, strict=True):
        was_in_time = isinstance(answer, Issued)
        assert isinstance(heart.refresh(answer if was_in_time else token, client), Issued) == was_in_time


def test_a_hint_that_was_written_under_the_policy_before_is_found_by_the_second_look(heart: Heart) -> None:
    """A sign-in that read the old policy commits after the worker had passed its place."""
    heart.decide("browser_idle_lifetime", "1d")
    late = heart.sign_in(heart.person())
    heart.decide("browser_idle_lifetime", "1h")
    heart.change(heart.session(late.session_id), sweep_at=heart.now + timedelta(days=1))  # as if it had committed now

    with heart.database.transaction() as tx:
        sessions.tighten_hints(tx, settings=heart.settings)

    heart.clock.advance(hours=2)
    assert heart.sweep() == 1
    assert heart.session(late.session_id).ended_at == heart.now
