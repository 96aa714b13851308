"""Refreshing on both databases: the one statement against the table, and everything it re-checks."""

from datetime import timedelta

import pytest

from idp.db.models import (
    AuditEvent,
    EndReason,
    LogoutDelivery,
    RefreshBinding,
    RefreshRotation,
    Session,
    SessionClient,
    TokenFamily,
)
from idp.kit.opaque import Secret
from idp.tokens import Issued, Refused
from idp.tokens.refresh_tokens import read_refresh_token, write_refresh_token
from idp.tokens.turns import Generations, Turn, decide
from tests.support.heart import Heart

OFFLINE = "openid offline_access"


def generation(heart: Heart, token: Secret | None) -> int:
    assert token is not None
    read = read_refresh_token(token.reveal(), heart.keyring)
    assert read is not None
    return read.generation


def of_generation(heart: Heart, token: Secret | None, wanted: int) -> Secret:
    """A genuine token of another generation: what a thief, or a client from before a restore, may hold."""
    assert token is not None
    read = read_refresh_token(token.reveal(), heart.keyring)
    assert read is not None
    return write_refresh_token(read.of_generation(wanted), heart.keyring)


def succeed(answer: Issued | Refused) -> Issued:
    assert isinstance(answer, Issued), answer
    return answer


def refuse(answer: Issued | Refused, error: str = "invalid_grant") -> Refused:
    assert isinstance(answer, Refused), answer
    assert answer.error == error
    return answer


@pytest.mark.spec("RFC 9700", "4.14.2")
def test_a_refresh_rotates_the_token_and_keeps_one_row(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)

    second = succeed(heart.refresh(first, client))

    assert second.outcome == "rotated"
    assert generation(heart, second.refresh_token) == 2
    assert second.sub == first.sub
    assert second.sid == first.sid
    assert second.auth_time == first.auth_time
    family = heart.family(first)
    assert (family.generation, family.parent_generation) == (2, 1)
    assert family.access_expires_at == second.access_expires_at
    assert len(heart.all(TokenFamily)) == 1


@pytest.mark.parametrize("seconds", [0, 1, 10, 11, 86_400, 86_401])
@pytest.mark.parametrize("presented", [1, 2, 3, 4, 5])
def test_the_statement_and_the_table_agree(heart: Heart, presented: int, seconds: int) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person(), keep_signed_in=True), client)
    heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)
    rotated_at = heart.now
    heart.clock.advance(seconds=seconds)
    expected = decide(
        Generations(4, 3, rotated_at),
        presented,
        now=heart.now,
        leeway=heart.settings.refresh_leeway_lifetime,
        lost_answer=heart.settings.lost_answer_lifetime,
    )

    answer = heart.refresh(of_generation(heart, first.refresh_token, presented), client)

    family = heart.family(first)
    state = (family.generation, family.parent_generation, family.revoked_at is not None)
    match expected:
        case Turn.ROTATE:
            assert succeed(answer).outcome == "rotated"
            assert state == (5, 4, False)
        case Turn.HOLD:
            assert generation(heart, succeed(answer).refresh_token) == 4
            assert state == (4, 3, False)
        case Turn.SKIP:
            assert succeed(answer).outcome == "skipped"
            assert generation(heart, succeed(answer).refresh_token) == 5
            assert state == (5, 3, False)
        case Turn.REUSE | Turn.AHEAD:
            refuse(answer)
            assert state == (4, 3, True)


def test_reuse_ends_the_clients_part_in_a_browser_session_and_nothing_else(heart: Heart) -> None:
    person = heart.person()
    browser = heart.sign_in(person)
    client = heart.client(backchannel_logout_uri="https://app.example/logout")
    other = heart.client()
    first, others = heart.tokens_for(browser, client), heart.tokens_for(browser, other)
    heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)

    refuse(heart.refresh(of_generation(heart, first.refresh_token, 2), client))

    assert heart.session(browser.session_id).ended_at is None
    [participation] = heart.all(SessionClient, SessionClient.client_id == client.id)
    assert participation.end_reason == EndReason.REFRESH_TOKEN_REUSE
    [delivery] = heart.all(LogoutDelivery)
    assert (delivery.client_id, delivery.sid) == (client.id, first.sid)
    assert heart.all(AuditEvent, AuditEvent.kind == "refresh_reused")
    refuse(heart.refresh(of_generation(heart, first.refresh_token, 4), client))
    succeed(heart.refresh(others, other))


def test_reuse_ends_an_app_session_as_a_whole(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    heart.change(heart.family(first), generation=4, parent_generation=3, rotated_at=heart.now)

    refuse(heart.refresh(of_generation(heart, first.refresh_token, 1), client))

    assert first.session_id is not None
    assert heart.session(first.session_id).end_reason == EndReason.REFRESH_TOKEN_REUSE


def test_a_token_from_the_future_ends_its_family_with_an_alarm(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)

    refuse(heart.refresh(of_generation(heart, first.refresh_token, 9), client))

    assert heart.family(first).revoke_reason == EndReason.REFRESH_TOKEN_AHEAD
    assert heart.all(AuditEvent, AuditEvent.kind == "refresh_ahead")
    refuse(heart.refresh(first, client))


def test_a_skip_is_audited_and_makes_the_lost_successor_reuse(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    lost = succeed(heart.refresh(first, client))
    heart.clock.advance(seconds=11)

    again = succeed(heart.refresh(first, client))

    assert again.outcome == "skipped"
    assert heart.all(AuditEvent, AuditEvent.kind == "refresh_skipped")
    refuse(heart.refresh(lost, client))
    refuse(heart.refresh(again, client))


@pytest.mark.spec("RFC 6749", "6")
def test_a_token_presented_by_another_client_is_refused_and_left_as_it_was(heart: Heart) -> None:
    client, other = heart.client(), heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    before = heart.family(first)

    refuse(heart.refresh(first, other))

    after = heart.family(first)
    assert (after.generation, after.revoked_at, after.rotated_at) == (before.generation, None, None)
    assert heart.all(AuditEvent, AuditEvent.kind == "refresh_wrong_client")
    succeed(heart.refresh(first, client))


@pytest.mark.parametrize(
    "break_it",
    ["session ended", "participation ended", "user disabled", "client disabled", "grant removed", "offline removed"],
)
def test_a_refresh_re_checks_the_rights_of_today(heart: Heart, break_it: str) -> None:
    person, client = heart.person(), heart.client()
    browser = heart.sign_in(person)
    scope = OFFLINE if break_it == "offline removed" else "openid"
    first = heart.tokens_for(browser, client, scope)
    good = succeed(heart.refresh(first, client))
    match break_it:
        case "session ended":
            heart.end(person, browser.session_id)
        case "participation ended":
            [participation] = heart.all(SessionClient)
            heart.change(participation, ended_at=heart.now, end_reason="signed_out")
        case "user disabled":
            heart.change(person, disabled_at=heart.now)
        case "client disabled":
            heart.change(client, disabled_at=heart.now)
        case "grant removed":
            heart.change(client, grant_types=("authorization_code",))
        case "offline removed":
            heart.change(client, scopes=("openid",))

    refuse(heart.refresh(good, client))

    assert heart.family(first).generation == 2


def test_a_scope_that_the_client_lost_is_gone_from_the_next_refresh(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, "openid profile email")
    heart.change(client, scopes=("openid", "email"))

    assert succeed(heart.refresh(first, client)).scope == ("openid", "email")


@pytest.mark.spec("RFC 6749", "6")
def test_a_refresh_may_narrow_the_scope_and_never_widen_it(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, "openid profile")

    narrowed = succeed(heart.refresh(first, client, scope="openid"))
    refuse(heart.refresh(narrowed, client, scope="openid email"), "invalid_scope")
    whole = succeed(heart.refresh(narrowed, client))

    assert narrowed.scope == ("openid",)
    assert whole.scope == ("openid", "profile")


def test_refused_for_its_scope_a_token_stays_as_it_was(heart: Heart) -> None:
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)

    refuse(heart.refresh(first, client, scope="admin"), "invalid_scope")

    assert heart.family(first).generation == 1


def test_a_client_with_rotation_off_keeps_its_token(heart: Heart) -> None:
    client = heart.client()
    heart.change(client, refresh_rotation=RefreshRotation.OFF)
    first = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    heart.clock.advance(days=2)

    answer = succeed(heart.refresh(first, client))

    assert generation(heart, answer.refresh_token) == 1
    assert answer.access_expires_at > first.access_expires_at


def test_the_access_token_ends_exactly_when_the_row_says_also_with_a_lifetime_of_the_clients_own(heart: Heart) -> None:
    client = heart.client()
    heart.change(client, access_token_lifetime=timedelta(seconds=77))
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    heart.clock.advance(seconds=12.345)

    answer = succeed(heart.refresh(first, client))

    assert answer.access_expires_at == heart.family(first).access_expires_at
    assert answer.access_expires_at == heart.now.replace(microsecond=0) + timedelta(seconds=77)


def test_idle_and_absolute_ends_are_computed_from_todays_policy(heart: Heart) -> None:
    client = heart.client()
    token = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    heart.clock.advance(days=20)
    token = succeed(heart.refresh(token, client))
    heart.clock.advance(days=20)
    heart.with_settings(app_idle_lifetime=timedelta(days=19))

    refuse(heart.refresh(token, client))

    heart.with_settings(app_idle_lifetime=timedelta(days=30))
    succeed(heart.refresh(token, client))


def test_refreshing_never_moves_the_absolute_end(heart: Heart) -> None:
    client = heart.client()
    token = heart.tokens_for(heart.sign_in(heart.person()), client, OFFLINE)
    for _ in range(18):
        heart.clock.advance(days=20)
        token = succeed(heart.refresh(token, client))
    heart.clock.advance(days=6)

    refuse(heart.refresh(token, client))


def test_a_refresh_of_a_session_bound_client_counts_as_activity_at_most_hourly(heart: Heart) -> None:
    client = heart.client()
    browser = heart.sign_in(heart.person())
    token = heart.tokens_for(browser, client)
    started = heart.now
    heart.clock.advance(minutes=59)
    token = succeed(heart.refresh(token, client))
    assert heart.session(browser.session_id).last_active_at == started
    heart.clock.advance(minutes=2)

    succeed(heart.refresh(token, client))

    assert heart.session(browser.session_id).last_active_at == heart.now


def test_a_client_that_does_not_extend_sessions_leaves_an_idle_browser_idle(heart: Heart) -> None:
    client = heart.client()
    heart.change(client, refresh_extends_session=False)
    browser = heart.sign_in(heart.person())
    token = heart.tokens_for(browser, client)
    heart.clock.advance(hours=23)
    token = succeed(heart.refresh(token, client))
    heart.clock.advance(hours=2)

    refuse(heart.refresh(token, client))

    assert heart.current(browser.handle) is None


def test_a_touch_lost_in_a_crash_does_not_end_a_session_that_was_in_use(heart: Heart) -> None:
    """The family knows of the refresh although the session row was never touched."""
    client = heart.client()
    browser = heart.sign_in(heart.person())
    token = heart.tokens_for(browser, client)
    heart.clock.advance(hours=23)
    token = succeed(heart.refresh(token, client))
    heart.change(heart.session(browser.session_id), last_active_at=heart.now - timedelta(hours=23))
    heart.clock.advance(hours=23)

    assert heart.current(browser.handle) is not None
    heart.sweep()
    assert heart.session(browser.session_id).ended_at is None
    succeed(heart.refresh(token, client))


@pytest.mark.parametrize("text", ["", "idp_rt_nonsense", "\x00", "idp_rt_" + "A" * 96])
def test_garbage_is_refused_without_a_database(heart: Heart, text: str) -> None:
    client = heart.client()
    heart.database.engine.dispose()

    refuse(heart.refresh(Secret(text), client))


def test_a_genuine_looking_token_with_the_wrong_family_secret_is_refused(heart: Heart) -> None:
    """The server secret alone, leaked, makes no token: the row keeps a hash of a secret that it never knew."""
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    assert first.refresh_token is not None
    read = read_refresh_token(first.refresh_token.reveal(), heart.keyring)
    assert read is not None
    for family_id, generation in ((read.family_id, 1), (read.family_id, 9), ("0" * 26, 1)):
        forged = write_refresh_token(type(read)(family_id, generation, b"x" * 16), heart.keyring)

        refuse(heart.refresh(forged, client))

    assert heart.family(first).revoked_at is None


def test_all_refusals_look_the_same_from_outside(heart: Heart) -> None:
    person, client, other = heart.person(), heart.client(), heart.client()
    browser = heart.sign_in(person)
    first = heart.tokens_for(browser, client)
    second = succeed(heart.refresh(first, client))
    answers = [refuse(heart.refresh(Secret("junk"), client)), refuse(heart.refresh(second, other))]
    heart.clock.advance(days=1, seconds=1)
    answers.append(refuse(heart.refresh(first, client)))
    answers.append(refuse(heart.refresh(second, client)))

    assert len({(answer.error, answer.description) for answer in answers}) == 1


def test_codes_give_session_records_as_the_design_says(heart: Heart) -> None:
    person = heart.person()
    browser = heart.sign_in(person)
    web, standalone = heart.client(), heart.client()
    heart.change(standalone, refresh_binding=RefreshBinding.STANDALONE)

    bound = heart.tokens_for(browser, web)
    offline = heart.tokens_for(browser, web, OFFLINE)
    alone = heart.tokens_for(browser, standalone)

    assert bound.session_id == browser.session_id
    assert len({bound.session_id, offline.session_id, alone.session_id}) == 3
    for issued in (offline, alone):
        app: Session = heart.session(issued.session_id or "")
        assert (app.kind, app.parent_id) == ("app", browser.session_id)
    assert len({bound.sid, offline.sid, alone.sid}) == 3
