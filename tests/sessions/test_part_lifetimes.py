"""An application's own lifetimes for its part in a browser session (docs/adr/0015)."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from idp import sessions, worker
from idp.db.models import AuditEvent, Client, EndReason, LogoutDelivery, LogoutEvent, SessionClient
from idp.policy import Changed, PolicyProblem
from idp.sessions import SessionPolicy, StartedSession
from idp.tokens import Issued, Refused, check_refresh_token
from idp.worker import Hints
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock, Heart, race
from tests.support.pages import Visitor

AWAY = "https://bank.example/bye"


@pytest.fixture
def bank(heart: Heart) -> Client:
    """An application that signs people out of itself after an hour unused, and after eight in any case."""
    client = heart.client(name="Bank", backchannel_logout_uri=AWAY, wants_logout_reason=True)
    heart.decide("participation_idle_lifetime", "1h", client)
    heart.decide("participation_absolute_lifetime", "8h", client)
    return client


@pytest.fixture
def browser(heart: Heart) -> StartedSession:
    return heart.sign_in(heart.person(), keep_signed_in=True)


def sweep(heart: Heart) -> int:
    """A worker's round, as far as parts are concerned."""
    with heart.database.transaction() as tx:
        sessions.tighten_part_hints(tx)
    with heart.database.transaction() as tx:
        return sessions.sweep_parts(tx, now=heart.now, settings=heart.settings)


def is_active(heart: Heart, issued: Issued) -> bool:
    assert issued.refresh_token is not None
    with heart.database.single_reads() as statements:
        token = issued.refresh_token.reveal()
        found = check_refresh_token(
            statements, token=token, settings=heart.settings, keyring=heart.keyring, now=heart.now
        )
    return found is not None


def test_a_part_that_lies_unused_is_over_at_the_moment_and_not_before(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    tokens = heart.tokens_for(browser, bank)
    heart.clock.advance(minutes=60, microseconds=-1)
    assert is_active(heart, tokens)

    heart.clock.advance(microseconds=1)

    assert not is_active(heart, tokens)
    refused = heart.refresh(tokens, bank)
    assert isinstance(refused, Refused)
    assert refused.error == "invalid_grant"
    assert heart.current(browser.handle)


def test_refreshing_and_signing_in_again_are_use_for_all_that_the_application_has_there(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    first = heart.tokens_for(browser, bank)
    heart.clock.advance(minutes=40)
    second = heart.tokens_for(browser, bank)
    heart.clock.advance(minutes=40)

    assert isinstance(heart.refresh(first, bank), Issued)

    heart.clock.advance(minutes=59)
    assert is_active(heart, second)
    assert first.sid == second.sid


def test_no_use_moves_the_longest_lifetime(heart: Heart, bank: Client, browser: StartedSession) -> None:
    tokens: Issued | Refused = heart.tokens_for(browser, bank)
    for _ in range(12):
        heart.clock.advance(minutes=39)
        assert isinstance(tokens, Issued)
        tokens = heart.refresh(tokens, bank)
    assert isinstance(tokens, Issued)

    heart.clock.advance(minutes=12)

    assert not is_active(heart, tokens)
    sweep(heart)
    assert [part.end_reason for part in heart.all(SessionClient)] == [EndReason.PARTICIPATION_EXPIRED]


def test_others_in_the_same_browser_and_its_own_apps_are_not_concerned(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    bank_tokens, wiki = heart.tokens_for(browser, bank), heart.client(name="Wiki")
    wiki_tokens = heart.tokens_for(browser, wiki)
    app_tokens = heart.tokens_for(browser, bank, "openid offline_access")
    heart.clock.advance(hours=9)

    sweep(heart)

    assert isinstance(heart.refresh(bank_tokens, bank), Refused)
    assert isinstance(heart.refresh(wiki_tokens, wiki), Issued)
    assert isinstance(heart.refresh(app_tokens, bank), Issued)


def test_the_end_is_written_down_and_told_once_with_its_reason(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    tokens = heart.tokens_for(browser, bank)
    heart.clock.advance(minutes=61)

    assert [sweep(heart), sweep(heart), sweep(heart)] == [1, 0, 0]

    (notice,) = heart.all(LogoutDelivery)
    (event,) = heart.all(LogoutEvent)
    (row,) = heart.all(AuditEvent, AuditEvent.kind == "participation_ended")
    assert (notice.sid, notice.uri, notice.logout_reason) == (tokens.sid, AWAY, "idle")
    assert (event.reason, event.browsers_ended, event.apps_ended) == (EndReason.PARTICIPATION_IDLE, 0, 0)
    assert (row.client_id, row.actor, row.details["reason"]) == (bank.id, "time", EndReason.PARTICIPATION_IDLE)
    assert heart.family(tokens).revoke_reason == EndReason.PARTICIPATION_IDLE
    assert heart.session(browser.session_id).ended_at is None


def test_a_sweep_that_comes_too_early_ends_nothing_and_comes_again(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    tokens = heart.tokens_for(browser, bank)
    heart.clock.advance(minutes=50)
    heart.refresh(tokens, bank)
    heart.clock.advance(minutes=20)
    assert sweep(heart) == 1
    assert heart.all(LogoutDelivery) == []

    heart.clock.advance(minutes=40)

    assert sweep(heart) == 1
    assert len(heart.all(LogoutDelivery)) == 1


def test_whoever_comes_back_before_any_sweep_gets_another_sid_and_the_old_one_is_told(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    before = heart.tokens_for(browser, bank)
    heart.clock.advance(hours=2)

    after = heart.tokens_for(browser, bank)

    assert after.sid != before.sid
    assert [notice.sid for notice in heart.all(LogoutDelivery)] == [before.sid]
    assert isinstance(heart.refresh(before, bank), Refused)
    assert isinstance(heart.refresh(after, bank), Issued)
    sweep(heart)
    assert len(heart.all(LogoutDelivery)) == 1


def test_a_code_from_just_before_the_end_is_good_for_a_part_of_its_own(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    before = heart.tokens_for(browser, bank)
    heart.clock.advance(minutes=60, seconds=-5)
    code = heart.code(browser, bank)
    heart.clock.advance(seconds=10)
    sweep(heart)

    issued = heart.redeem(code, bank)

    assert isinstance(issued, Issued)
    assert issued.sid != before.sid


def test_a_redemption_and_sweeps_at_once_announce_the_old_part_once(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    before = heart.tokens_for(browser, bank)
    heart.clock.advance(hours=2)
    codes = [heart.code(browser, bank) for _ in range(3)]
    nodes = [heart.open_database() for _ in range(3)]

    def one_sweep() -> int:
        with heart.database.transaction() as tx:
            return sessions.sweep_parts(tx, now=heart.now, settings=heart.settings)

    jobs = [partial(heart.redeem, code, bank, node) for code, node in zip(codes, nodes, strict=True)]
    *issued, _, _ = race([*jobs, one_sweep, one_sweep])

    assert [notice.sid for notice in heart.all(LogoutDelivery)] == [before.sid]
    assert len({one.sid for one in issued}) == 1
    assert all(isinstance(heart.refresh(one, bank), Issued) for one in issued)


def test_a_decision_counts_for_what_exists_and_can_be_taken_back_until_it_is_written_down(
    heart: Heart, browser: StartedSession
) -> None:
    wiki = heart.client(name="Wiki", backchannel_logout_uri=AWAY)
    tokens = heart.tokens_for(browser, wiki)
    heart.clock.advance(hours=2)
    assert is_active(heart, tokens)

    heart.decide("participation_idle_lifetime", "1h", wiki)
    assert not is_active(heart, tokens)
    heart.decide("participation_idle_lifetime", None, wiki)
    assert is_active(heart, tokens)
    heart.decide("participation_absolute_lifetime", "1h", wiki)
    sweep(heart)
    heart.decide("participation_absolute_lifetime", None, wiki)

    assert not is_active(heart, tokens)
    assert len(heart.all(LogoutDelivery)) == 1


def test_hints_of_an_application_that_is_limited_no_more_go_away(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    heart.tokens_for(browser, bank)
    heart.decide("participation_idle_lifetime", None, bank)
    heart.decide("participation_absolute_lifetime", None, bank)
    heart.clock.advance(hours=1)

    assert sweep(heart) == 1

    assert [part.sweep_at for part in heart.all(SessionClient)] == [None]
    assert heart.all(LogoutDelivery) == []


def test_it_is_decided_for_one_application_within_bounds_and_in_order(heart: Heart) -> None:
    wiki = heart.client(name="Wiki")

    for_all = heart.decide("participation_idle_lifetime", "1h")
    too_short = heart.decide("participation_idle_lifetime", "4m", wiki)
    absolute = heart.decide("participation_absolute_lifetime", "8h", wiki)
    turned_round = heart.decide("participation_idle_lifetime", "9h", wiki)
    idle = heart.decide("participation_idle_lifetime", "1h", wiki)

    assert isinstance(for_all, PolicyProblem)
    assert "IDP_BROWSER_ABSOLUTE_LIFETIME" in for_all.sentence
    assert isinstance(too_short, PolicyProblem)
    assert isinstance(turned_round, PolicyProblem)
    assert isinstance(absolute, Changed)
    assert absolute.before == heart.settings.browser_absolute_lifetime
    assert isinstance(idle, Changed)
    assert isinstance(heart.decide("participation_absolute_lifetime", None, wiki), Changed)
    assert len(heart.all(AuditEvent, AuditEvent.kind == "policy_changed")) == 3


def test_an_application_whose_part_is_over_is_listed_no_more(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    heart.tokens_for(browser, bank)
    heart.tokens_for(browser, heart.client(name="Wiki"))
    heart.clock.advance(hours=2)
    user_id = heart.session(browser.session_id).user_id

    with heart.database.reading() as tx:
        given: dict[str, Any] = {"user_id": user_id, "now": heart.now, "policy": SessionPolicy.of(heart.settings)}
        page = sessions.list_devices(tx, current_session_id=None, **given)
        one = sessions.find_live_session(tx, session_id=browser.session_id, **given)
        preview = sessions.preview_end_client(tx, client_id=bank.id, **given)

    assert [row.applications for row in page.browsers] == [("Wiki",)]
    assert one is not None
    assert [application.name for application in one.applications] == ["Wiki"]
    assert preview.browsers == 0


def test_what_a_sign_out_finds_over_but_not_written_down_is_told_once_all_the_same(
    heart: Heart, bank: Client, browser: StartedSession
) -> None:
    heart.tokens_for(browser, bank)
    heart.clock.advance(hours=2)
    person = heart.session(browser.session_id).user_id

    with heart.database.transaction() as tx:
        sessions.end_sessions(
            tx,
            user_id=person,
            session_ids=[browser.session_id],
            reason=EndReason.SIGNED_OUT,
            actor=sessions.Actor(),
            settings=heart.settings,
            now=heart.now,
        )
    sweep(heart)

    assert [notice.logout_reason for notice in heart.all(LogoutDelivery)] == ["signed_out"]


def test_a_part_lives_no_longer_than_its_browser_whatever_it_may(heart: Heart, browser: StartedSession) -> None:
    wiki = heart.client(name="Wiki")
    heart.decide("participation_absolute_lifetime", "3000d", wiki)
    tokens = heart.tokens_for(browser, wiki)

    heart.clock.advance(seconds=heart.settings.browser_absolute_lifetime / timedelta(seconds=1))

    assert not is_active(heart, tokens)


def test_over_http_the_application_is_refused_and_comes_back_without_a_page_unless_it_asks_for_one(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    provider.heart.decide("participation_idle_lifetime", "15m", rp.client)
    before = rp.sign_in(signed_in)
    clock.advance(minutes=15)

    refused = rp.refresh(before)
    introspected = rp.post("/oauth2/introspect", token=before.refresh_token)
    wants_the_person = rp.authorize(signed_in, prompt="none", max_age="600")
    after = rp.redeem(rp.authorize(signed_in, prompt="none").code)

    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert introspected.get_json() == {"active": False}
    assert wants_the_person.fields["error"] == "login_required"
    assert rp.refresh(after).error is None


def test_the_history_says_it_in_plain_words(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    provider.heart.decide("participation_idle_lifetime", "15m", rp.client)
    rp.sign_in(signed_in)
    clock.advance(minutes=16)
    worker.sweep_expired(provider.services)

    page = signed_in.get("/account/activity").text

    assert "Wiki was signed out of your browser sessions" in page
    assert "The application was not used for as long as it may lie unused" in page


def test_a_worker_finds_parts_from_before_the_decision(heart: Heart, provider: Provider) -> None:
    client, hints = heart.client(name="Bank", backchannel_logout_uri=AWAY), Hints()
    heart.tokens_for(heart.sign_in(heart.person()), client)
    hints.follow_policy(provider.services)
    heart.clock.advance(hours=2)
    heart.decide("participation_absolute_lifetime", "1h", client)

    hints.follow_policy(provider.services)
    worker.sweep_expired(provider.services)

    assert [notice.client_id for notice in heart.all(LogoutDelivery)] == [client.id]
