"""Races on real commits, on both databases: refreshing, redeeming and ending at the same time.

Each counts winners. Two nodes means two engines on one database, as two processes would have.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from idp import sessions, tokens
from idp.db.models import AuthorizationCode, EndReason, LogoutEvent, Session, SessionClient, TokenFamily, User
from idp.kit.opaque import Secret
from idp.sessions import Device, SignInRefused, StartedSession
from idp.tokens import CodeRefused, CodeRequest, Issued, Refused
from idp.tokens.refresh_tokens import read_refresh_token
from tests.support.heart import REDIRECT, Heart, race

OFFLINE = "openid offline_access"


def generation(heart: Heart, issued: Issued) -> int:
    assert issued.refresh_token is not None
    read = read_refresh_token(issued.refresh_token.reveal(), heart.keyring)
    assert read is not None
    return read.generation


def test_fifty_threads_with_one_refresh_token_get_one_and_the_same_successor(heart: Heart) -> None:
    """I5, I7, lesson 13: all succeed, one rotation happens, one chain goes on."""
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    nodes = [heart.open_database(), heart.open_database()]

    answers = race([partial(heart.refresh, first, client, database=nodes[i % 2]) for i in range(50)])

    assert all(isinstance(answer, Issued) for answer in answers), Counter(map(type, answers))
    assert {generation(heart, answer) for answer in answers} == {2}
    family = heart.family(first)
    assert (family.generation, family.parent_generation, family.revoked_at) == (2, 1, None)
    assert family.access_expires_at == max(answer.access_expires_at for answer in answers)


def test_fifty_threads_with_a_stale_parent_skip_once(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    lost = heart.refresh(first, client)
    assert isinstance(lost, Issued)
    heart.clock.advance(seconds=11)
    nodes = [heart.open_database(), heart.open_database()]

    answers = race([partial(heart.refresh, first, client, database=nodes[i % 2]) for i in range(50)])

    assert all(isinstance(answer, Issued) for answer in answers), Counter(map(type, answers))
    assert {generation(heart, answer) for answer in answers} == {3}
    assert heart.family(first).generation == 3


def test_fifty_threads_with_a_reused_token_end_the_app_once_and_get_nothing(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri="https://app.example/logout")
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)
    nodes = [heart.open_database(), heart.open_database()]

    answers = race([partial(heart.refresh, first, client, database=nodes[i % 2]) for i in range(50)])

    assert all(isinstance(answer, Refused) for answer in answers)
    assert [event.reason for event in heart.all(LogoutEvent)] == [EndReason.REFRESH_TOKEN_REUSE]


@pytest.mark.spec("RFC 6749", "4.1.2")
def test_fifty_redemptions_of_one_code_give_one_family_and_the_rest_revoke_it(heart: Heart) -> None:
    client = heart.client()
    code = heart.code(heart.sign_in(heart.person()), client, OFFLINE)
    nodes = [heart.open_database(), heart.open_database()]

    answers = race([partial(heart.redeem, code, client, database=nodes[i % 2]) for i in range(50)])

    winners = [answer for answer in answers if isinstance(answer, Issued)]
    assert len(winners) == 1
    [family] = heart.all(TokenFamily)
    assert family.revoke_reason == EndReason.CODE_REUSED
    assert len(heart.all(Session, Session.kind == "app")) == 1


def test_no_refresh_that_begins_after_an_acknowledged_end_succeeds_and_no_token_outlives_the_recorded_moment(
    heart: Heart,
) -> None:
    """The race that the mark exists for (design §5): 20 rounds, refreshing on one node, ending on the other."""
    client, node_a, node_b = heart.client(), heart.open_database(), heart.open_database()
    for _ in range(20):
        person = heart.person()
        issued = heart.tokens_for(heart.sign_in(person), client, OFFLINE)
        acknowledged, granted, late = threading.Event(), [], []

        def refresh_on(issued: Issued, acknowledged: threading.Event, granted: list[Issued], late: list[Any]) -> None:
            deadline = time.monotonic() + 30
            for tick in itertools.count():
                began_after = acknowledged.is_set()
                # Each presentation a microsecond later, so that every one asks for a later expiry.
                answer = heart.refresh(
                    issued, client, database=node_a, now=heart.now + timedelta(seconds=1 + min(tick, 8))
                )
                if isinstance(answer, Issued):
                    granted.append(answer)
                    if began_after:
                        late.append(answer)
                if began_after or time.monotonic() > deadline:
                    return

        def end(person: User, acknowledged: threading.Event) -> datetime | None:
            ended = heart.end_everything(person, database=node_b)
            acknowledged.set()
            return ended.access_expires_at

        results = race(
            [
                partial(refresh_on, issued, acknowledged, granted, late),
                partial(refresh_on, issued, acknowledged, granted, late),
                partial(end, person, acknowledged),
            ]
        )

        assert late == []
        last = max([issued.access_expires_at, *(answer.access_expires_at for answer in granted)])
        assert results[2] == last
        assert heart.family(issued).revoked_at is not None


def test_a_sign_in_that_began_before_everywhere_never_completes_after_it(heart: Heart) -> None:
    node_a, node_b = heart.open_database(), heart.open_database()
    for _ in range(20):
        person = heart.person()

        def complete_sign_in(person: User) -> StartedSession | SignInRefused:
            with node_a.transaction() as tx:
                return sessions.start_browser_session(
                    tx,
                    user_id=person.id,
                    expected_epoch=person.epoch,
                    amr=["pwd"],
                    acr=None,
                    keep_signed_in=False,
                    device=Device(),
                    previous_handle=None,
                    settings=heart.settings,
                    now=heart.now,
                )

        race(
            [
                *[partial(complete_sign_in, person)] * 4,
                partial(heart.end_everything, person, database=node_b),
            ]
        )

        live = heart.all(Session, Session.user_id == person.id, Session.ended_at.is_(None))
        assert live == []
        assert complete_sign_in(person) is SignInRefused.OVERTAKEN


def test_ending_everything_against_refreshes_redemptions_and_approvals_leaves_nothing_alive_and_never_deadlocks(
    heart: Heart,
) -> None:
    clients = [heart.client(backchannel_logout_uri="https://app.example/logout") for _ in range(3)]
    node_a, node_b = heart.open_database(), heart.open_database()
    for _ in range(6):
        person = heart.person()
        browsers = [heart.sign_in(person) for _ in range(3)]
        families = [(client, heart.tokens_for(browser, client, OFFLINE)) for browser in browsers for client in clients]
        codes = [(client, heart.code(browser, client)) for browser in browsers for client in clients]
        jobs: list[Callable[[], Any]] = []
        jobs += [partial(heart.refresh, issued, client, database=node_a) for client, issued in families]
        jobs += [partial(heart.redeem, code, client, database=node_a) for client, code in codes]
        jobs += [partial(_approve, heart, node_a, browser, clients[0], person) for browser in browsers]
        jobs += [partial(heart.end_everything, person, database=node) for node in (node_a, node_b)]
        jobs += [partial(_reuse, heart, node_b, *families[0])]

        race(jobs)

        assert heart.all(Session, Session.user_id == person.id, Session.ended_at.is_(None)) == []
        mine = [session.id for session in heart.all(Session, Session.user_id == person.id)]
        assert heart.all(SessionClient, SessionClient.session_id.in_(mine), SessionClient.ended_at.is_(None)) == []
        assert heart.all(TokenFamily, TokenFamily.user_id == person.id, TokenFamily.revoked_at.is_(None)) == []
        unused = heart.all(
            AuthorizationCode, AuthorizationCode.user_id == person.id, AuthorizationCode.used_at.is_(None)
        )
        for code in unused:
            assert code.expires_at <= heart.now or code.user_epoch < heart.all(User, User.id == person.id)[0].epoch


def _approve(heart: Heart, node: Any, browser: StartedSession, client: Any, person: User) -> Secret | CodeRefused:
    with node.transaction() as tx:
        return tokens.issue_code(
            tx,
            request=CodeRequest(client.id, REDIRECT, True, ("openid",), [], {}, None, None),
            session_id=browser.session_id,
            expected_epoch=person.epoch,
            settings=heart.settings,
            now=heart.now,
        )


def _reuse(heart: Heart, node: Any, client: Any, issued: Issued) -> Any:
    heart.refresh(issued, client, database=node)
    return heart.refresh(issued, client, database=node, now=heart.now + timedelta(days=2))
