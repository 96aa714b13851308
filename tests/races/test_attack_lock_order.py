"""Who locks what, in which order (design §9): the person first, then sessions by id, the one that goes on included."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from idp import clients, sessions, tokens, users
from idp.db.engine import Database
from idp.db.models import Client, EndReason, Session, User
from idp.sessions import Actor, Device, StartedSession
from idp.sessions.end import lock_sessions
from idp.tokens import Issued
from tests.support.heart import REDIRECT, Heart, terms_of

OFFLINE = "openid offline_access"
# Of this database alone: other tests share the server.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def test_everywhere_else_and_a_withdrawn_consent_at_once_do_not_deadlock(heart: Heart) -> None:
    client, person = heart.client(), heart.person()
    kept, other = sorted((heart.sign_in(person), heart.sign_in(person)), key=lambda started: started.session_id)
    for started in (kept, other):
        heart.tokens_for(started, client)
    node = heart.open_database()
    outcome: list[Any] = []

    with heart.database.transaction() as tx:
        _end_others(heart, tx, person, kept.session_id)
        withdrawing = threading.Thread(target=partial(_withdraw, heart, node, person, client, outcome))
        withdrawing.start()
        _until_somebody_waits(heart)
        sessions.renew_secret(tx, session_id=kept.session_id, now=heart.now, keep_previous=False)
    withdrawing.join(30)

    assert [type(one).__name__ for one in outcome] == ["Ended"]
    live = heart.all(Session, Session.user_id == person.id, Session.ended_at.is_(None))
    assert [session.id for session in live] == [kept.session_id]


@pytest.mark.parametrize(
    "end", ["withdraw", "end_application", "end_next_people", "ask_for_newer_sign_in", "ask_one_person"]
)
def test_what_an_app_is_just_redeeming_ends_too_when_its_access_is_taken_away(heart: Heart, end: str) -> None:
    client, person = heart.client(refresh_binding="standalone"), heart.person()
    code = heart.code(heart.sign_in(person), client)
    node = heart.open_database()
    outcome: list[Any] = []

    with heart.database.transaction() as tx:
        issued = tokens.redeem_code(
            tx,
            code=code.reveal(),
            client=terms_of(client),
            redirect_uri=REDIRECT,
            code_verifier=None,
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )
        assert isinstance(issued, Issued)
        ending = threading.Thread(target=partial(globals()[f"_{end}"], heart, node, person, client, outcome))
        ending.start()
        _until_somebody_waits(heart)
    ending.join(30)

    assert [type(one).__name__ for one in outcome] in (["Ended"], ["MassEnd"])
    assert heart.session(issued.session_id or "").ended_at is not None
    assert not isinstance(heart.refresh(issued, client), Issued)


@pytest.mark.parametrize("is_copy_older", [True, False])
def test_a_copy_too_many_and_an_end_of_it_and_of_the_approving_browser_do_not_deadlock(
    heart: Heart, *, is_copy_older: bool
) -> None:
    heart.with_settings(app_sessions_per_client=1)
    client, person = heart.client(), heart.person()
    early = heart.sign_in(person)
    heart.clock.advance(minutes=1)
    copy = heart.tokens_for(early, client, OFFLINE).session_id or ""
    heart.clock.advance(minutes=1)
    browser = heart.sign_in(person) if is_copy_older else early
    code = heart.code(browser, client, OFFLINE)
    node = heart.open_database()
    outcome: list[Any] = []

    with heart.database.transaction() as tx:
        in_order = (copy, browser.session_id) if is_copy_older else (browser.session_id, copy)
        lock_sessions(tx, person.id, Session.id == in_order[0])
        redeeming = threading.Thread(target=_try, args=(lambda: heart.redeem(code, client, node), outcome))
        redeeming.start()
        _until_somebody_waits(heart)
        lock_sessions(tx, person.id, Session.id == in_order[1])
    redeeming.join(30)

    assert [type(one).__name__ for one in outcome] == ["Issued"]
    assert heart.session(copy).end_reason == EndReason.SESSION_CAP


def test_deleting_an_account_and_a_sign_out_of_the_same_person_do_not_deadlock(heart: Heart) -> None:
    person = heart.person()
    started = heart.sign_in(person)
    node = heart.open_database()
    outcome: list[Any] = []

    with heart.database.transaction() as tx:
        lock_sessions(tx, person.id, Session.id == started.session_id)
        deleting = threading.Thread(target=partial(_delete, heart, node, person, outcome))
        deleting.start()
        _until_somebody_waits(heart)
        sessions.end_sessions(
            tx,
            user_id=person.id,
            session_ids=[started.session_id],
            reason=EndReason.SIGNED_OUT,
            actor=Actor(),
            settings=heart.settings,
            now=heart.now,
        )
    deleting.join(30)

    assert [type(one).__name__ for one in outcome] == ["Ended"]
    (grave,) = heart.all(User, User.id == person.id)
    assert (grave.deleted_at, grave.email_key, grave.username_key) == (heart.now, None, None)


def test_deleting_an_account_waits_for_nobody_who_writes_of_the_person(heart: Heart) -> None:
    client, person = heart.client(), heart.person()
    started = heart.sign_in(person)
    node = heart.open_database()
    outcome: list[Any] = []
    deleting = threading.Thread(target=partial(_delete, heart, node, person, outcome))

    with heart.database.transaction() as tx:
        clients.grant_consent(tx, user_id=person.id, client_id=client.id, scopes=("openid",), now=heart.now)
        deleting.start()
        if not heart.database.is_sqlite:  # there it waits for the one writer's place
            deleting.join(30)
            assert [type(one).__name__ for one in outcome] == ["Ended"]
        # As "Allow" goes on: the session, for a code in it, which the deletion had locked.
        lock_sessions(tx, person.id, Session.id == started.session_id)
    deleting.join(30)

    assert [type(one).__name__ for one in outcome] == ["Ended"]
    assert heart.session(started.session_id).end_reason == EndReason.USER_DELETED


def test_everybodys_end_and_a_sign_in_in_somebody_elses_browser_do_not_deadlock(heart: Heart) -> None:
    first, second = sorted((heart.person(), heart.person()), key=lambda person: person.id)
    theirs = heart.sign_in(first)
    heart.sign_in(second)
    heart.clock.advance(minutes=1)
    node = heart.open_database()
    outcome: list[Any] = []

    with heart.database.transaction() as tx:
        # As a sign-in in that browser: the person's lock comes first, then the session that was there.
        sessions.lock_user(tx, second.id)
        ending = threading.Thread(target=partial(_end_next_people, heart, node, second, None, outcome))
        ending.start()
        _until_somebody_waits(heart)
        started = sessions.start_browser_session(
            tx,
            user_id=second.id,
            expected_epoch=0,
            amr=["pwd"],
            acr=None,
            keep_signed_in=False,
            device=Device(),
            previous_handle=theirs.handle.reveal(),
            settings=heart.settings,
            now=heart.now,
        )
    ending.join(30)

    assert isinstance(started, StartedSession)
    assert [type(one).__name__ for one in outcome] == ["MassEnd"]
    live = heart.all(Session, Session.ended_at.is_(None))
    assert [session.id for session in live] == [started.session_id]


def _end_others(heart: Heart, tx: Any, person: User, kept: str) -> None:
    sessions.end_everything(
        tx,
        user_id=person.id,
        except_session_id=kept,
        reason=EndReason.SIGNED_OUT_EVERYWHERE_ELSE,
        actor=Actor(),
        settings=heart.settings,
        now=heart.now,
    )


def _withdraw(heart: Heart, node: Database, person: User, client: Client, outcome: list[Any]) -> None:
    _try(lambda: heart.withdraw(person, client, database=node), outcome)


def _end_application(heart: Heart, node: Database, person: User, client: Client, outcome: list[Any]) -> None:
    given = {"user_id": person.id, "client_id": client.id, "reason": EndReason.ENDED_BY_PERSON}
    _at(node, heart, outcome, sessions.end_client_for_user, **given)


def _end_next_people(heart: Heart, node: Database, _: User, client: Client | None, outcome: list[Any]) -> None:
    given = {"client_id": client.id if client else None, "reason": EndReason.ENDED_BY_ADMINISTRATOR}
    _at(node, heart, outcome, sessions.end_next_people, before=heart.now, after="", **given)


def _ask_for_newer_sign_in(heart: Heart, node: Database, _: User, client: Client, outcome: list[Any]) -> None:
    since = heart.now + timedelta(seconds=1)
    _at(node, heart, outcome, sessions.end_older_of_client, client_id=client.id, since=since, after="", limit=50)


def _ask_one_person(heart: Heart, node: Database, person: User, _: Client, outcome: list[Any]) -> None:
    since = heart.now + timedelta(seconds=1)
    _at(node, heart, outcome, sessions.end_older_of_user, user_id=person.id, since=since)


def _delete(heart: Heart, node: Database, person: User, outcome: list[Any]) -> None:
    def delete(tx: Any, **given: Any) -> Any:
        users.delete_user(tx, user_id=person.id, actor="operator", now=heart.now)
        return sessions.end_everything(
            tx, user_id=person.id, except_session_id=None, reason=EndReason.USER_DELETED, **given
        )

    _at(node, heart, outcome, delete)


def _at(node: Database, heart: Heart, outcome: list[Any], end: Callable[..., Any], **given: Any) -> None:
    """Let a verb that ends something happen in a transaction of that node."""

    def committed() -> Any:
        with node.transaction() as tx:
            return end(tx, actor=Actor(), settings=heart.settings, now=heart.now, **given)

    _try(committed, outcome)


def _try(end: Callable[[], Any], outcome: list[Any]) -> None:
    try:
        outcome.append(end())
    except Exception as error:  # noqa: BLE001 - the test says what came of it
        outcome.append(error)


def _until_somebody_waits(heart: Heart) -> None:
    """PostgreSQL: until the other transaction waits for a lock. SQLite: it waits for the one writer's place anyway."""
    if heart.database.is_sqlite:
        return
    deadline = time.monotonic() + 30
    waiting = text(WAITING)
    while time.monotonic() < deadline:
        with heart.database.reading() as tx:
            if tx.execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")
