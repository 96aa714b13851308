"""Mail: written with what it tells of, sent by the worker over real SMTP, tried again, visibly given up."""

import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from idp import mail
from idp.db.models import MailMessage, MailState
from idp.mail import Letter
from idp.mail.letters import old_token_used
from idp.settings import SettingsError, load_settings
from idp.tokens import Refused
from tests.support.heart import START, Heart

LETTER = Letter("old_token_used", "Wiki was signed out to be safe", "Grüße\n")


@dataclass
class MailServer:
    """A real SMTP server on loopback. `recipient_answer` is what it says to RCPT TO."""

    port: int = 0
    received: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    recipient_answer: str = "250 ok"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    state = MailServer()

    class Conversation(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 catcher")
            while line := self.rfile.readline().decode().strip():
                word = line.partition(" ")[0].upper()
                if word == "QUIT":
                    self.say("221 bye")
                    return
                if word == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text)
                    state.received.append("\n".join(lines))
                    self.say("250 taken")
                elif word == "RCPT":
                    state.recipients.append(line)
                    self.say(state.recipient_answer)
                else:
                    self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join(5)


def configure(heart: Heart, port: int) -> None:
    heart.with_settings(smtp_host="127.0.0.1", smtp_port=port, smtp_security="none", mail_from="accounts@id.example")


def enqueue(heart: Heart, letter: Letter = LETTER) -> bool:
    person = heart.person()
    with heart.database.transaction() as tx:
        return mail.enqueue_mail(tx, user_id=person.id, letter=letter, settings=heart.settings, now=heart.now)


def attempt(heart: Heart, holder: str = "w") -> list[MailState | None]:
    with heart.database.transaction() as tx:
        claimed = mail.claim_due_mail(tx, holder=holder, now=heart.now)
    states = []
    for message in claimed:
        problem = mail.send(message, settings=heart.settings, now=heart.now)
        with heart.database.transaction() as tx:
            states.append(
                mail.settle_mail(
                    tx,
                    message,
                    failure=problem.detail if problem else None,
                    is_final=problem is not None and problem.is_final,
                    settings=heart.settings,
                    now=heart.now,
                )
            )
    return states


def test_a_reused_token_writes_one_letter_in_the_commit_that_signs_the_app_out(
    heart: Heart, mail_server: MailServer
) -> None:
    configure(heart, mail_server.port)
    person, client = heart.person(), heart.client(name="Nightly Tool")
    issued = heart.tokens_for(heart.sign_in(person), client, "openid offline_access")
    heart.refresh(issued, client)
    heart.clock.advance(hours=25)

    assert isinstance(heart.refresh(issued, client), Refused)
    assert isinstance(heart.refresh(issued, client), Refused)

    [message] = heart.all(MailMessage)
    assert (message.recipient, message.user_id, message.state) == (person.email, person.id, MailState.PENDING)
    assert message.subject == "Nightly Tool was signed out to be safe"
    assert "/account/sessions" in message.body
    assert attempt(heart) == [MailState.SENT]
    [received] = mail_server.received
    assert "Subject: Nightly Tool was signed out to be safe" in received
    assert "Auto-Submitted: auto-generated" in received
    assert [line.lower() for line in mail_server.recipients] == [f"rcpt to:<{person.email}>"]
    assert attempt(heart) == []


def test_without_a_mail_server_nothing_is_written(heart: Heart, mail_server: MailServer) -> None:
    assert not enqueue(heart)
    assert heart.all(MailMessage) == []

    configure(heart, mail_server.port)
    assert enqueue(heart)
    assert len(heart.all(MailMessage)) == 1


def test_a_mail_server_that_is_away_is_tried_again_for_a_day_and_then_given_up(heart: Heart) -> None:
    configure(heart, 9)  # nothing listens on the discard port
    enqueue(heart)

    assert attempt(heart) == [MailState.PENDING]
    assert attempt(heart) == [], "not before its time"
    heart.clock.advance(minutes=1)
    assert attempt(heart) == [MailState.PENDING]
    heart.clock.advance(hours=24)
    assert attempt(heart) == [MailState.GAVE_UP]
    [message] = heart.all(MailMessage)
    assert message.last_failure is not None
    assert "@" not in message.last_failure


@pytest.mark.parametrize(
    ("answer", "state"), [("550 no such person", MailState.GAVE_UP), ("450 come back later", MailState.PENDING)]
)
def test_a_refused_recipient_is_final_only_when_the_server_says_so(
    heart: Heart, mail_server: MailServer, answer: str, state: MailState
) -> None:
    configure(heart, mail_server.port)
    mail_server.recipient_answer = answer
    enqueue(heart)

    assert attempt(heart) == [state]
    assert mail_server.received == []


def test_two_workers_never_hold_one_message_and_a_lost_lease_writes_nothing(
    heart: Heart, mail_server: MailServer
) -> None:
    configure(heart, mail_server.port)
    enqueue(heart)
    with heart.database.transaction() as tx:
        [slow] = mail.claim_due_mail(tx, holder="slow", now=heart.now)
    assert attempt(heart, "quick") == []
    heart.clock.advance(minutes=2)

    assert attempt(heart, "quick") == [MailState.SENT]
    with heart.database.transaction() as tx:
        late = mail.settle_mail(tx, slow, failure="late", is_final=True, settings=heart.settings, now=heart.now)

    assert late is None
    assert heart.all(MailMessage)[0].state is MailState.SENT


@pytest.mark.parametrize(
    ("wrong", "repair"),
    [
        ({"mail_from": ""}, {"mail_from": "a@id.example"}),
        ({"smtp_security": "none", "smtp_host": "mail.example"}, {"smtp_security": "tls"}),
        ({"smtp_username": "u"}, {"smtp_password": "p"}),
        ({"smtp_security": "maybe"}, {"smtp_security": "starttls"}),
    ],
)
def test_dangerous_or_contradictory_mail_settings_stop_the_start(
    tmp_path: Path, wrong: dict[str, str], repair: dict[str, str]
) -> None:
    good: dict[str, Any] = {"smtp_host": "mail.example", "mail_from": "a@id.example"}
    good |= {"secret": "s" * 40, "var_dir": tmp_path}

    with pytest.raises(SettingsError, match=r"IDP_(MAIL|SMTP)"):
        load_settings({}, **{**good, **wrong})

    assert load_settings({}, **{**good, **wrong, **repair}).smtp_host == "mail.example"


def test_the_letter_says_what_happened_and_what_to_do_and_holds_no_secret(heart: Heart) -> None:
    letter = old_token_used(client_name="Wiki", is_app=False, now=START, settings=heart.settings)

    assert "09:30 UTC on 21 November 2026" in " ".join(letter.body.split())
    assert "sign out everywhere" in letter.body
    assert max(len(line) for line in letter.body.splitlines()) <= 120
