"""The demo's mail catcher: mail goes in by SMTP and is read on a page; odd, long and foreign input does no harm."""

import http.client
import smtplib
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from examples.mail_catcher import folder as folder_module
from examples.mail_catcher.folder import MailFolder
from examples.mail_catcher.page import PageServer
from examples.mail_catcher.receiver import LONGEST_MESSAGE, MOST_RECIPIENTS, Receiver


@pytest.fixture
def folder(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path / "mail")


@pytest.fixture
def smtp(folder: MailFolder) -> Iterator[smtplib.SMTP]:
    with Receiver(0, folder) as receiver:
        serving = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        with smtplib.SMTP("127.0.0.1", receiver.server_address[1], timeout=10) as client:
            yield client
        receiver.shutdown()
        serving.join()


@pytest.fixture
def page(folder: MailFolder) -> Iterator[int]:
    with PageServer(0, folder) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


def letter(subject: str = "Hello", text: str = "A line.\n") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "accounts@example.com", "alice@example.com", subject
    message.set_content(text)
    return message


def read(port: int, path: str = "/", host: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_message_is_kept_as_it_was_sent_and_shown_newest_first(
    smtp: smtplib.SMTP, folder: MailFolder, page: int, tmp_path: Path
) -> None:
    smtp.send_message(letter("Grüße", "Erste Zeile\n.mit Punkt\n..mit zwei\nhttp://localhost:9000/account\n"))
    smtp.send_message(letter("The second"))

    second, first = folder.newest_first()
    assert (first.subject, first.recipient, first.sender) == ("Grüße", "alice@example.com", "accounts@example.com")
    assert first.text == "Erste Zeile\n.mit Punkt\n..mit zwei\nhttp://localhost:9000/account\n"
    status, text = read(page)
    assert status == 200
    assert text.index("The second") < text.index("Grüße")
    assert '<a href="http://localhost:9000/account">' in text
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "mail").iterdir()} == {0}
    assert second.at >= first.at


def test_nothing_that_a_message_says_becomes_part_of_the_page(smtp: smtplib.SMTP, page: int) -> None:
    smtp.send_message(letter("<script>alert(1)</script>", 'http://x/"><img src=x onerror=alert(1)>\n'))

    _, text = read(page)

    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\xfe", b"Content-Type: text/plain; charset=none-such\r\n\r\nx", b"To:"]
)
def test_a_message_that_is_none_is_shown_all_the_same(folder: MailFolder, page: int, content: bytes) -> None:
    folder.save(content)

    status, text = read(page)

    assert (status, text.count("<article>")) == (200, 1)


def test_the_page_says_that_there_is_no_mail_yet(page: int) -> None:
    assert "No mail yet" in read(page)[1]
    assert read(page, "/elsewhere")[0] == 404


def test_only_who_asks_for_this_machine_by_its_own_name_sees_mail(folder: MailFolder, page: int) -> None:
    folder.save(bytes(letter("A secret")))

    status, text = read(page, host="attacker.example")

    assert status == 421
    assert "A secret" not in text
    assert "A secret" in read(page, host=f"localhost:{page}")[1]


@pytest.mark.spec("RFC 5321", "4.1.4")
def test_commands_out_of_order_are_refused_and_the_conversation_goes_on(smtp: smtplib.SMTP, folder: MailFolder) -> None:
    smtp.ehlo()

    refused = [smtp.docmd(line)[0] for line in ("DATA", "RCPT TO:<a@example.com>", "MAIL whoever", "VRFY a", "")]

    assert refused == [503, 503, 501, 502, 502]
    smtp.send_message(letter())
    assert len(folder.newest_first()) == 1


def test_what_is_too_long_or_too_much_is_refused(smtp: smtplib.SMTP, folder: MailFolder) -> None:
    smtp.ehlo()
    smtp.mail("accounts@example.com")
    codes = [smtp.rcpt(f"a{number}@example.com")[0] for number in range(MOST_RECIPIENTS + 1)]
    smtp.rset()
    with pytest.raises(OSError, match=r"552|closed|reset|Broken"):  # it need not be read to its end to be refused
        smtp.sendmail("accounts@example.com", ["alice@example.com"], b"too long\r\n" * (LONGEST_MESSAGE // 8))

    assert codes == [250] * MOST_RECIPIENTS + [452]
    assert folder.newest_first() == []


def test_a_line_without_end_is_refused(smtp: smtplib.SMTP) -> None:
    assert isinstance(smtp.sock, socket.socket)
    smtp.send(b"x" * 2000 + b"\r\n")

    assert smtp.getreply()[0] == 500


def test_only_the_newest_messages_are_kept(folder: MailFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "KEPT", 2)

    for number in range(4):
        folder.save(bytes(letter(f"Number {number}")))

    assert [message.subject for message in folder.newest_first()] == ["Number 3", "Number 2"]
