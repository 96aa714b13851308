"""Whose account was closed, opened, deleted or given a password hears of it, by a mail written in that very commit."""

from datetime import UTC, datetime

import pytest

from idp import mail
from idp.db.models import EndReason, MailMessage, MailState, User
from idp.mail import Letter
from idp.mail.account_letters import account_closed, account_deleted, account_opened, password_set_for_you
from idp.settings import Settings
from idp.users import delete_user
from tests.cli.conftest import shell, today
from tests.cli.shell import Shell
from tests.support.heart import Heart

__all__ = ["shell", "today"]  # fixtures
NOW = datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
MAILING = {"IDP_SMTP_HOST": "mail.example", "IDP_MAIL_FROM": "accounts@example.com"}
NEW_PASSWORD = "a new password that is long enough"


@pytest.fixture
def mailing(shell: Shell) -> Shell:
    """A machine with a mail server."""
    shell.environment.update(MAILING)
    return shell


def letters(heart: Heart, person: User) -> list[tuple[str, str]]:
    return [(letter.kind, letter.recipient) for letter in heart.all(MailMessage) if letter.user_id == person.id]


def test_closing_and_opening_an_account_is_told_once_each(mailing: Shell, today: Heart) -> None:
    ada, bob = today.person(), today.person()
    today.sign_in(ada)
    address = ada.email or ""

    for _ in range(2):
        mailing.json("users", "disable", address)
    for _ in range(2):
        mailing.json("users", "enable", address)

    assert sorted(letters(today, ada)) == [("account_closed", address), ("account_opened", address)]
    assert letters(today, bob) == []


def test_deleting_an_account_is_the_last_mail_to_its_address_and_drops_what_waited(
    mailing: Shell, today: Heart
) -> None:
    ada = today.person()
    address = ada.email or ""
    today.sign_in(ada)
    mailing.json("users", "disable", address)

    mailing.json("users", "delete", address)

    assert letters(today, ada) == [("account_deleted", address)]


@pytest.mark.parametrize(("options", "is_told_of_end"), [((), True), (("--keep-sessions",), False)])
def test_a_password_that_an_administrator_set_is_told_and_never_written(
    mailing: Shell, today: Heart, options: tuple[str, ...], is_told_of_end: bool
) -> None:
    ada = today.person()

    result = mailing.run("users", "set-password", ada.email or "", "--password-stdin", *options, given=NEW_PASSWORD)

    assert result.exit_code == 0, result.output
    [letter] = today.all(MailMessage)
    assert (letter.kind, letter.recipient) == ("password_set_for_you", ada.email)
    assert ("signed out everywhere" in letter.body) is is_told_of_end
    assert NEW_PASSWORD not in letter.body


def test_without_a_mail_server_or_an_address_nothing_is_written(shell: Shell, today: Heart) -> None:
    ada, nameless = today.person(), today.person()
    today.change(nameless, email=None, email_key=None)

    shell.json("users", "disable", ada.email or "")
    for command in ("disable", "enable", "delete"):
        shell.run("users", command, nameless.username or "", **MAILING)

    assert today.all(MailMessage) == []


@pytest.mark.parametrize(
    ("failure", "is_final", "state"),
    [(None, False, MailState.SENT), ("refused", True, MailState.GAVE_UP), ("away", False, MailState.PENDING)],
)
def test_of_a_deleted_person_the_address_goes_with_the_last_message_and_not_before(
    heart: Heart, failure: str | None, is_final: bool, state: MailState
) -> None:
    heart.with_settings(smtp_host="mail.example", mail_from="accounts@example.com")
    ada, bob = heart.person(), heart.person()
    letter = Letter("account_deleted", "Your account was deleted", "…")
    with heart.database.transaction() as tx:
        delete_user(tx, user_id=ada.id, actor="operator", now=heart.now)
        for person, address in ((ada, "ada@old.example"), (bob, None)):
            mail.enqueue_mail(
                tx, user_id=person.id, letter=letter, settings=heart.settings, now=heart.now, last_address=address
            )
    with heart.database.transaction() as tx:
        claimed = mail.claim_due_mail(tx, holder="worker", now=heart.now)
    assert {one.recipient for one in claimed} == {"ada@old.example", bob.email}

    with heart.database.transaction() as tx:
        states = [
            mail.settle_mail(tx, one, failure=failure, is_final=is_final, settings=heart.settings, now=heart.now)
            for one in claimed
        ]

    assert states == [state, state]
    kept = {message.recipient for message in heart.all(MailMessage)}
    assert kept == {bob.email} | ({"ada@old.example"} if state is MailState.PENDING else set())


def test_whoever_was_signed_out_by_a_restore_hears_why(heart: Heart) -> None:
    heart.with_settings(smtp_host="mail.example", mail_from="accounts@example.com")
    ada = heart.person()

    heart.end(ada, heart.sign_in(ada).session_id, reason=EndReason.RESTORED)

    [letter] = heart.all(MailMessage)
    assert "restored from a back-up" in letter.body


@pytest.mark.parametrize(
    "letter",
    [
        account_closed(now=NOW, settings=Settings()),
        account_opened(now=NOW, settings=Settings()),
        account_deleted(now=NOW, settings=Settings()),
        password_set_for_you(is_signed_out=True, now=NOW, settings=Settings()),
    ],
    ids=lambda letter: letter.kind,
)
def test_letters_say_when(letter: Letter) -> None:
    assert "14:03 UTC on 21 November 2026" in " ".join(letter.body.split())
    assert "no password and has no link that signs you in" in " ".join(letter.body.split())
