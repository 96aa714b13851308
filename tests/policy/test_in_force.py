"""A decision counts at once, on every node, for what exists: sessions, tokens, the list and the sweep agree."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import delete

from idp import sessions, worker
from idp.db.models import EndReason, LogoutDelivery, PolicyValue, Session
from idp.policy import Changed
from idp.sessions import SessionPolicy
from idp.sessions.policy import computed_end
from idp.tokens import Issued, Refused
from idp.web.services import Services
from tests.support.heart import Heart

OFFLINE = "openid offline_access"


def swept(heart: Heart) -> None:
    """What a worker does in two rounds after a change: hints first, then the sweep."""
    after: str | None = ""
    while after is not None:
        with heart.database.transaction() as tx:
            after = sessions.tighten_hints(tx, settings=heart.settings, after=after)
    while heart.sweep():
        pass


def test_a_shorter_idle_time_ends_sessions_that_are_there_at_once(heart: Heart) -> None:
    old = heart.sign_in(heart.person())
    heart.clock.advance(hours=9)
    young = heart.sign_in(heart.person())
    assert heart.current(old.handle)

    assert isinstance(heart.decide("browser_idle_lifetime", "8h"), Changed)

    assert heart.current(old.handle) is None
    assert heart.current(young.handle)


def test_a_node_that_was_there_before_follows_with_its_next_statement(heart: Heart) -> None:
    """Nothing is cached: another process, with statements made and prepared long before, hears at once."""
    client = heart.client()
    token = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    node = heart.open_database()
    for _ in range(8):  # psycopg prepares a statement at its sixth use
        answer = heart.refresh(token, client, database=node)
        assert isinstance(answer, Issued)
        token = answer
        heart.clock.advance(minutes=20)
    heart.clock.advance(days=2)

    heart.decide("app_idle_lifetime", "1d")

    assert isinstance(heart.refresh(token, client, database=node), Refused)


@pytest.mark.parametrize("name", ["browser_absolute_lifetime", "app_absolute_lifetime"])
def test_absolute_ends_are_a_matter_of_policy_too(heart: Heart, name: str) -> None:
    client = heart.client(grant_types=("authorization_code", "refresh_token"))
    browser = heart.sign_in(heart.person())
    scope = OFFLINE if name.startswith("app") else "openid"
    token = heart.tokens_for(browser, client, scope)
    for other in ("browser_idle_lifetime", "keep_signed_in_idle_lifetime", "app_idle_lifetime"):
        heart.decide(other, "1d")
    heart.clock.advance(hours=23)
    answer = heart.refresh(token, client)
    assert isinstance(answer, Issued)
    heart.clock.advance(hours=3)

    heart.decide(name, "25h")

    assert isinstance(heart.refresh(answer, client), Refused)


def test_a_clients_own_value_holds_for_that_client_alone(heart: Heart) -> None:
    strict, other = heart.client(), heart.client()
    browser = heart.sign_in(heart.person())
    of_strict, of_other = heart.tokens_for(browser, strict, OFFLINE), heart.tokens_for(browser, other, OFFLINE)
    heart.clock.advance(hours=5)

    heart.decide("app_idle_lifetime", "4h", strict)

    assert isinstance(heart.refresh(of_strict, strict), Refused)
    assert isinstance(heart.refresh(of_other, other), Issued)


def test_a_clients_own_value_may_also_be_longer_and_goes_back_to_what_holds_for_all(heart: Heart) -> None:
    client = heart.client()
    token = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    heart.decide("app_idle_lifetime", "1d")
    heart.decide("app_idle_lifetime", "3d", client)
    heart.clock.advance(days=2)
    assert isinstance(heart.refresh(token, client), Issued)
    heart.clock.advance(days=2)

    heart.decide("app_idle_lifetime", None, client)

    assert isinstance(heart.refresh(token, client), Refused)


def test_switching_keep_me_signed_in_off_takes_the_privilege_for_good(heart: Heart) -> None:
    in_use, unused = (
        heart.sign_in(heart.person(), keep_signed_in=True),
        heart.sign_in(heart.person(), keep_signed_in=True),
    )
    heart.clock.advance(hours=20)
    with heart.database.transaction() as tx:
        sessions.touch(tx, session_id=in_use.session_id, now=heart.now)
    heart.clock.advance(hours=10)

    heart.decide("keep_signed_in", "off")

    assert heart.current(unused.handle) is None
    current = heart.current(in_use.handle)
    assert current is not None
    swept(heart)
    heart.decide("keep_signed_in", "on")
    assert not heart.session(in_use.session_id).keep_signed_in
    heart.clock.advance(hours=15)
    assert heart.current(in_use.handle) is None


def test_nobody_is_kept_signed_in_anew_while_that_is_off(heart: Heart) -> None:
    heart.decide("keep_signed_in", "off")

    started = heart.sign_in(heart.person(), keep_signed_in=True)

    assert started.keep_for is None
    assert not heart.session(started.session_id).keep_signed_in


def test_the_leeway_and_the_lost_answer_window_are_todays(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    lost = heart.refresh(first, client)
    assert isinstance(lost, Issued)
    heart.clock.advance(seconds=30)
    heart.decide("refresh_leeway_lifetime", "1m")

    held = heart.refresh(first, client)

    assert isinstance(held, Issued)
    assert held.outcome == "held"
    heart.clock.advance(minutes=2)
    heart.decide("lost_answer_lifetime", "1m")
    assert isinstance(heart.refresh(first, client), Refused)
    assert heart.family(first).revoke_reason == EndReason.REFRESH_TOKEN_REUSE


def test_the_sweep_finds_what_a_shorter_policy_made_over_and_tells_the_applications(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri="https://app.example/logout")
    kept = heart.sign_in(heart.person(), keep_signed_in=True)
    heart.tokens_for(kept, client)
    heart.clock.advance(days=3)
    assert heart.sweep() == 0  # its hint is weeks away

    heart.decide("keep_signed_in_idle_lifetime", "2d")
    swept(heart)

    assert heart.session(kept.session_id).end_reason == EndReason.IDLE
    assert len(heart.all(LogoutDelivery)) == 1


def test_what_is_not_over_is_not_ended_by_a_shorter_policy(heart: Heart) -> None:
    started = heart.sign_in(heart.person(), keep_signed_in=True)
    heart.clock.advance(hours=30)

    heart.decide("keep_signed_in_idle_lifetime", "2d")
    swept(heart)

    assert heart.session(started.session_id).ended_at is None
    session = heart.session(started.session_id)
    assert session.sweep_at == session.started_at + timedelta(days=2)


def test_statements_and_words_agree_on_who_is_over(heart: Heart) -> None:
    """`is_live` looks the values up, `computed_end` is told them: at every moment they must say the same."""
    browser, kept = heart.sign_in(heart.person()), heart.sign_in(heart.person(), keep_signed_in=True)
    heart.decide("browser_idle_lifetime", "5h")
    heart.decide("keep_signed_in_idle_lifetime", "7h")
    for _ in range(9):
        with heart.database.reading() as tx:
            policy = SessionPolicy.today(tx, heart.settings)
        for one in (browser, kept):
            row: Session = heart.session(one.session_id)
            end = computed_end(row, None, last_active_at=row.last_active_at, policy=policy)
            assert (heart.current(one.handle) is not None) == (heart.now < end.at)
        heart.clock.advance(hours=1)


def test_a_worker_follows_each_change_and_looks_once_more(heart: Heart, open_services: Callable[..., Services]) -> None:
    services = open_services()
    hints = worker.Hints()

    assert [hints.follow_policy(services) for _ in range(3)] == [True, True, False]  # its start
    heart.decide("app_idle_lifetime", "2d")
    assert [hints.follow_policy(services) for _ in range(3)] == [True, True, False]
    heart.decide("app_idle_lifetime", "400d")  # refused, and so no change
    assert not hints.follow_policy(services)


def test_a_worker_that_outlives_a_restored_back_up_follows_the_next_change(
    heart: Heart, open_services: Callable[..., Services]
) -> None:
    services, hints = open_services(), worker.Hints()
    heart.decide("app_idle_lifetime", "2d")
    while hints.follow_policy(services):
        pass
    with heart.database.transaction() as tx:
        tx.execute(delete(PolicyValue))  # as in a back-up from before that decision
    heart.clock.advance(minutes=5)

    heart.decide("app_idle_lifetime", "3d")

    assert hints.follow_policy(services)
