"""Purging: what is old goes with all that hangs on it, what is live, needed or on its way stays; in small batches."""

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from idp import mail, tokens
from idp.db.engine import Database
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    Base,
    DeliveryState,
    DeniedAccessToken,
    EndReason,
    GuessBudget,
    LogoutDelivery,
    LogoutEvent,
    MailMessage,
    Session,
    SessionClient,
    SigningKey,
    StoredRequest,
    StoredRequestKind,
    TokenFamily,
    User,
)
from idp.keys import ensure_keys, rotate
from idp.retention import KINDS, purge_batch
from idp.sessions import Actor, end_client_for_user
from idp.tokens import Issued, Refused
from idp.users import reserve_guess
from idp.web import stored_requests
from tests.support.heart import Heart, race

DAY = timedelta(days=1)


def purge(heart: Heart, *, limit: int = 200, database: Database | None = None) -> dict[str, int]:
    """Everything that is due, as the worker and the command do it; how many of each kind."""
    gone = {}
    for kind in KINDS:
        gone[kind.name] = 0
        while True:
            with (database or heart.database).transaction() as tx:
                batch = purge_batch(tx, kind, settings=heart.settings, now=heart.now, limit=limit)
            assert batch <= limit or kind.name == "signing_keys"
            if not batch:
                break
            gone[kind.name] += batch
    return gone


def due(heart: Heart) -> dict[str, int]:
    with heart.database.reading() as tx:
        return {kind.name: kind.count(tx, heart.now, heart.settings) for kind in KINDS}


def count(heart: Heart, *models: Any) -> list[int]:
    with heart.database.reading() as tx:
        return [tx.scalars(select(func.count()).select_from(model)).one() for model in models]


def settle_notices(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        for row in tx.scalars(select(LogoutDelivery)):
            row.state, row.settled_at = DeliveryState.TOLD, heart.now


def snapshot(heart: Heart) -> dict[str, int]:
    return dict(zip(Base.metadata.tables, count(heart, *Base.metadata.tables.values()), strict=True))


def put_aside(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        stored_requests.store(
            tx,
            kind=StoredRequestKind.AUTHORIZE,
            client_id=None,
            parameters={},
            browser="b",
            now=heart.now,
            settings=heart.settings,
        )


# ── One-time things ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_time_things_stay_a_day_beyond_their_end_and_then_go(heart: Heart) -> None:
    client, session = heart.client(), heart.sign_in(heart.person())
    heart.tokens_for(session, client)
    heart.code(session, client)
    put_aside(heart)
    ends_at = heart.now + heart.settings.stored_request_lifetime

    heart.clock.moment = ends_at + DAY
    assert purge(heart)["stored_requests"] == 0
    assert count(heart, StoredRequest) == [1]

    heart.clock.advance(seconds=1)
    gone = purge(heart)

    assert (gone["stored_requests"], gone["authorization_codes"]) == (1, 0)
    assert count(heart, StoredRequest, AuthorizationCode) == [0, 0]


@pytest.mark.spec("RFC 6749", "4.1.2")
def test_a_code_used_twice_within_the_day_is_still_found_out(heart: Heart) -> None:
    client, session = heart.client(), heart.sign_in(heart.person(), keep_signed_in=True)
    code = heart.code(session, client)
    issued = heart.redeem(code, client)
    assert isinstance(issued, Issued)

    heart.clock.advance(hours=23)
    purge(heart)
    assert isinstance(heart.redeem(code, client), Refused)

    assert heart.family(issued).revoked_at is not None


def test_a_code_of_a_session_that_just_ended_is_not_taken_from_under_its_redemption(heart: Heart) -> None:
    client, person = heart.client(), heart.person()
    session = heart.sign_in(person)
    code = heart.code(session, client)
    heart.end(person, session.session_id)

    assert purge(heart)["authorization_codes"] == 0
    assert isinstance(heart.redeem(code, client), Refused)


def test_redeeming_a_code_that_is_being_purged_is_refused_and_no_error(heart: Heart) -> None:
    client, session = heart.client(), heart.sign_in(heart.person(), keep_signed_in=True)
    codes = [heart.code(session, client) for _ in range(6)]
    heart.clock.advance(days=2)

    outcomes = race([partial(purge, heart), *(partial(heart.redeem, code, client) for code in codes)])[1:]

    assert all(isinstance(outcome, Refused) for outcome in outcomes)


def test_denials_budgets_and_tokens_of_services_go_when_they_mean_nothing_any_more(heart: Heart) -> None:
    service = heart.client(redirect_uris=[], grant_types=("client_credentials",))
    with heart.database.transaction() as tx:
        tokens.issue_client_credentials(
            tx, client=service, scope=(), resources=[], settings=heart.settings, now=heart.now
        )
        reserve_guess(
            tx, person="ada", address="192.0.2.1", now=heart.now, settings=heart.settings, keyring=heart.keyring
        )
        tx.add(DeniedAccessToken(jti="j", expires_at=heart.now + timedelta(minutes=5), denied_at=heart.now))
    heart.clock.advance(minutes=6)
    assert purge(heart) == dict.fromkeys(purge(heart), 0)
    assert count(heart, DeniedAccessToken, GuessBudget, TokenFamily) == [1, 2, 1]

    heart.clock.advance(minutes=11)
    assert {name: gone for name, gone in purge(heart).items() if gone} == {
        "denied_access_tokens": 1,
        "guess_budgets": 2,
    }
    heart.clock.advance(hours=25)

    assert {name: gone for name, gone in purge(heart).items() if gone} == {"client_credentials": 1}
    assert count(heart, DeniedAccessToken, GuessBudget, TokenFamily) == [0, 0, 0]


# ── History ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_ended_session_goes_after_the_history_with_all_that_hangs_on_it_and_live_ones_stay(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365))
    client = heart.client(backchannel_logout_uri="https://app.example/bye")
    person, other = heart.person(), heart.person()
    ended = heart.sign_in(person)
    heart.tokens_for(ended, client)
    heart.code(ended, client)
    app = heart.tokens_for(ended, client, "openid offline_access")
    others_app = heart.tokens_for(heart.sign_in(other), client, "openid offline_access")
    heart.end(person, ended.session_id)
    settle_notices(heart)

    heart.clock.advance(days=90)
    assert purge(heart)["sessions"] == 0
    assert len(heart.all(Session, Session.id == ended.session_id)) == 1

    heart.clock.advance(seconds=1)
    expected = due(heart)
    gone = purge(heart)

    assert (gone["participations"], gone["sessions"], gone["logout_events"]) == (1, 1, 1)
    assert expected["participations"] == 1
    assert expected["sessions"] == 1
    assert heart.all(Session, Session.id == ended.session_id) == []
    assert count(heart, LogoutEvent, LogoutDelivery) == [0, 0]
    # The app that it had approved lives on, and only forgets where.
    assert {row.parent_id for row in heart.all(Session, Session.user_id == person.id)} == {None}
    assert isinstance(heart.refresh(app, client), Issued)
    assert isinstance(heart.refresh(others_app, client), Issued)
    assert len(heart.all(User)) == 2


def test_reuse_is_found_out_however_old_the_family_is_while_its_session_lives(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365))
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client, "openid offline_access")
    second = heart.refresh(first, client)
    assert isinstance(second, Issued)

    heart.clock.advance(days=200)
    purge(heart)
    third = heart.refresh(second, client)
    assert isinstance(third, Issued)
    heart.clock.advance(days=2)
    assert isinstance(heart.refresh(first, client), Refused)

    assert isinstance(heart.refresh(third, client), Refused)
    assert heart.family(first).revoke_reason == "refresh_token_reuse"


def test_a_notice_on_its_way_keeps_its_session_and_its_event(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri="https://app.example/bye")
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    heart.clock.advance(days=100)

    gone = purge(heart)
    assert (gone["sessions"], gone["logout_events"]) == (0, 0)
    assert count(heart, LogoutDelivery) == [1]

    settle_notices(heart)
    gone = purge(heart)
    assert (gone["sessions"], gone["logout_events"]) == (1, 1)


def test_an_application_that_left_a_living_session_is_forgotten_too(heart: Heart) -> None:
    heart.with_settings(browser_absolute_lifetime=timedelta(days=400), browser_idle_lifetime=timedelta(days=400))
    gone_client, kept_client = heart.client(), heart.client()
    person = heart.person()
    session = heart.sign_in(person)
    heart.tokens_for(session, gone_client)
    kept = heart.tokens_for(session, kept_client)
    with heart.database.transaction() as tx:
        end_client_for_user(
            tx,
            user_id=person.id,
            client_id=gone_client.id,
            reason=EndReason.CONSENT_WITHDRAWN,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )

    heart.clock.advance(days=91)
    gone = purge(heart)

    assert (gone["participations"], gone["sessions"], gone["logout_events"]) == (1, 0, 1)
    assert [row.client_id for row in heart.all(SessionClient)] == [kept_client.id]
    assert [row.id for row in heart.all(TokenFamily)] == [kept.family_id]
    assert heart.current(session.handle) is not None


def test_a_revoked_family_goes_after_the_history_though_its_participation_lives(heart: Heart) -> None:
    client = heart.client()
    session = heart.sign_in(heart.person())
    revoked, live = (heart.tokens_for(session, client) for _ in range(2))
    heart.change(heart.family(revoked), revoked_at=heart.now, revoke_reason="revoked")
    participations = count(heart, SessionClient)

    heart.clock.advance(days=90)
    assert "revoked_families" not in {name for name, rows in purge(heart).items() if rows}
    heart.clock.advance(seconds=1)
    gone = purge(heart)

    assert gone["revoked_families"] == 1
    assert [family.id for family in heart.all(TokenFamily)] == [live.family_id]
    assert count(heart, SessionClient) == participations
    assert [code.family_id for code in heart.all(AuthorizationCode)] in ([], [live.family_id])


def test_a_notice_on_its_way_from_a_living_session_keeps_its_event(heart: Heart) -> None:
    heart.with_settings(browser_absolute_lifetime=timedelta(days=400), browser_idle_lifetime=timedelta(days=400))
    client, person = heart.client(backchannel_logout_uri="https://app.example/bye"), heart.person()
    heart.tokens_for(heart.sign_in(person), client)
    with heart.database.transaction() as tx:
        end_client_for_user(
            tx,
            user_id=person.id,
            client_id=client.id,
            reason=EndReason.CONSENT_WITHDRAWN,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )
    heart.clock.advance(days=91)

    assert purge(heart)["logout_events"] == 0
    settle_notices(heart)
    assert purge(heart)["logout_events"] == 1


def test_while_somebody_holds_an_app_its_parent_is_passed_over_without_waiting(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365))
    client, person = heart.client(), heart.person()
    parent = heart.sign_in(person)
    app = heart.tokens_for(parent, client, "openid offline_access")
    heart.end(person, parent.session_id)
    heart.clock.advance(days=91)
    other_node = heart.open_database()
    # SQLite has no row locks, and one writer at a time: there, nobody can hold a row while the purge writes.
    holding = heart.database.reading if heart.database.is_sqlite else heart.database.transaction

    with holding() as tx:
        tx.execute(select(Session.id).where(Session.id == app.session_id).with_for_update(key_share=True)).one()
        meanwhile = purge(heart, database=other_node)
    afterwards = purge(heart)

    expected = (1, 1) if heart.database.is_sqlite else (0, 0)
    assert (meanwhile["sessions"], meanwhile["logout_events"]) == expected
    assert meanwhile["sessions"] + afterwards["sessions"] == 1
    assert meanwhile["logout_events"] + afterwards["logout_events"] == 1
    assert isinstance(heart.refresh(app, client), Issued)


def test_a_receipt_that_still_opens_keeps_its_event(heart: Heart) -> None:
    heart.with_settings(receipt_lifetime=timedelta(days=365))
    person = heart.person()
    heart.end(person, heart.sign_in(person).session_id)
    heart.clock.advance(days=100)

    assert purge(heart)["logout_events"] == 0
    heart.clock.advance(days=300)
    assert purge(heart)["logout_events"] == 1


def test_mail_and_audit_rows_go_after_their_own_time_and_the_trail_says_so(heart: Heart) -> None:
    heart.with_settings(smtp_host="mail.example", mail_from="idp@example.com")
    person = heart.person()
    letter = mail.old_token_used(client_name="Wiki", is_app=True, now=heart.now, settings=heart.settings)
    with heart.database.transaction() as tx:
        mail.enqueue_mail(tx, user_id=person.id, letter=letter, settings=heart.settings, now=heart.now)
    heart.clock.advance(days=91)
    assert purge(heart)["mail_messages"] == 0, "it was never sent, and waits"
    with heart.database.transaction() as tx:
        tx.execute(text("UPDATE mail_messages SET state = 'sent', settled_at = 1"))
    assert purge(heart)["mail_messages"] == 1
    assert count(heart, MailMessage) == [0]

    heart.clock.advance(days=400)
    gone = purge(heart)["audit_events"]

    assert gone >= 1
    assert [(row.kind, row.details) for row in heart.all(AuditEvent)] == [("audit_purged", {"rows": gone})]


def test_keys_that_can_verify_no_hint_any_more_go(heart: Heart) -> None:
    with heart.database.transaction() as tx:
        ensure_keys(tx, keyring=heart.keyring, now=heart.now)
        rotate(tx, algorithm="ES256", keyring=heart.keyring, now=heart.now, settings=heart.settings, immediately=True)
    heart.clock.advance(days=364)
    assert purge(heart)["signing_keys"] == 0

    heart.clock.advance(days=3)

    assert due(heart)["signing_keys"] == 1
    assert purge(heart)["signing_keys"] == 1
    assert count(heart, SigningKey) == [2]


# ── Batches, beside each other ────────────────────────────────────────────────────────────────────────────────────────


def crowd(heart: Heart, people: int) -> None:
    """People whose browser session approved a tool, all of it ended."""
    client = heart.client()
    for _ in range(people):
        person = heart.person()
        session = heart.sign_in(person)
        heart.tokens_for(session, client)
        heart.tokens_for(session, client, "openid offline_access")
        heart.end_everything(person)
    settle_notices(heart)


def test_batches_of_one_reach_everything_and_a_second_run_finds_nothing(heart: Heart) -> None:
    crowd(heart, 4)
    heart.clock.advance(days=91)
    expected = due(heart)

    gone = purge(heart, limit=1)

    assert (gone["sessions"], gone["logout_events"], gone["participations"]) == (8, 4, 8)
    assert gone["sessions"] == expected["sessions"]
    left = snapshot(heart)
    assert {name for name, rows in left.items() if rows} == {"users", "clients", "client_secrets", "audit_events"}
    assert not any(purge(heart).values())


def test_two_purges_at_once_delete_each_row_once_and_neither_waits_in_a_circle(heart: Heart) -> None:
    crowd(heart, 12)
    heart.clock.advance(days=91)
    nodes = [heart.open_database() for _ in range(2)]

    runs = race([partial(purge, heart, limit=3, database=node) for node in nodes])
    runs.append(purge(heart))

    assert sum(run["sessions"] for run in runs) == 24
    assert sum(run["logout_events"] for run in runs) == 12
    assert count(heart, Session, SessionClient, TokenFamily, AuthorizationCode, LogoutEvent) == [0, 0, 0, 0, 0]


def test_purging_beside_refreshes_disturbs_none(heart: Heart) -> None:
    heart.with_settings(app_idle_lifetime=timedelta(days=365), refresh_leeway_lifetime=timedelta(0))
    crowd(heart, 6)
    client = heart.client()
    sessions = [heart.sign_in(heart.person()) for _ in range(3)]
    apps = [heart.tokens_for(session, client, "openid offline_access") for session in sessions]
    for session in sessions:  # the parents are purged, the apps live on
        heart.end(heart.all(User, User.id == heart.session(session.session_id).user_id)[0], session.session_id)
    settle_notices(heart)
    heart.clock.advance(days=91)
    nodes = [heart.open_database() for _ in range(3)]

    def refresh(node: Database, issued: Any) -> bool:
        for _ in range(5):
            issued = heart.refresh(issued, client, database=node)
            if not isinstance(issued, Issued):
                return False
        return True

    outcomes = race(
        [partial(purge, heart, limit=2), *(partial(refresh, *pair) for pair in zip(nodes, apps, strict=True))]
    )

    assert outcomes[1:] == [True, True, True]


# ── How the rows are found ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_is_found_by_an_index(heart: Heart) -> None:
    statements = capture(heart)

    for statement, parameters in statements:
        with heart.database.engine.connect() as connection:
            if heart.database.is_sqlite:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                lines = [row[-1] for row in plan]
                assert not [line for line in lines if re.match(r"SCAN (?!.*USING)", line)], (statement, lines)
            else:
                connection.exec_driver_sql("SET enable_seqscan = off")
                plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
                text_of_plan = "\n".join(row[0] for row in plan)
                assert "Seq Scan" not in text_of_plan, (statement, text_of_plan)


def capture(heart: Heart) -> list[tuple[str, Any]]:
    """Every statement of a purge that has work to do."""
    crowd(heart, 2)
    heart.clock.advance(days=500)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if (
            re.match(r"(SELECT|DELETE|UPDATE)", statement)
            and not many
            and not re.search(r"FROM (signing_keys|policy_values)", statement)
        ):
            seen.append((statement, parameters))

    event.listen(heart.database.engine, "before_cursor_execute", note)
    try:
        gone = purge(heart)
    finally:
        event.remove(heart.database.engine, "before_cursor_execute", note)
    assert gone["sessions"] == 4
    assert len(seen) > len(KINDS)
    return seen
