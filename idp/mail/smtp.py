"""The one place that speaks SMTP: one message, one connection, bounded in time; never inside a transaction.

The server is the operator's own, named in the settings, so the guarded outbound client is not asked. Certificates are
checked (RFC 8314 §3); a server that does not offer STARTTLS when it is demanded gets nothing.
"""

import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from idp.mail.queue import ClaimedMail
from idp.settings import Settings

TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class CouldNotSend:
    """The message did not leave. `detail` is for operators and repeats nothing of the message."""

    detail: str
    is_final: bool


def send(message: ClaimedMail, *, settings: Settings, now: datetime) -> CouldNotSend | None:
    """Hand a message to the mail server. None: the server took it. Never raises for trouble with mail."""
    try:
        with _connect(settings) as server:
            if settings.smtp_username and settings.smtp_password is not None:
                server.login(settings.smtp_username, settings.smtp_password.reveal())
            server.send_message(_written(message, settings, now))
    except smtplib.SMTPRecipientsRefused as refusal:
        codes = sorted({code for code, _ in refusal.recipients.values()})
        return CouldNotSend(f"the recipient was refused: {codes}", is_final=all(code >= 500 for code in codes))
    except smtplib.SMTPResponseException as answer:
        # A wrong password or a forbidden sender is mended by the operator, so it is tried again.
        return CouldNotSend(f"the mail server answered {answer.smtp_code}", is_final=False)
    except (smtplib.SMTPException, ssl.SSLError, OSError) as trouble:
        return CouldNotSend(f"the mail server could not be used: {type(trouble).__name__}", is_final=False)
    except (ValueError, UnicodeError) as flaw:
        return CouldNotSend(f"the message could not be written: {type(flaw).__name__}", is_final=True)
    return None


def _connect(settings: Settings) -> smtplib.SMTP:
    if settings.smtp_security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_SECONDS, context=context)
    server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_SECONDS)
    if settings.smtp_security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _written(message: ClaimedMail, settings: Settings, now: datetime) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = settings.mail_from
    mail["To"] = message.recipient
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(now)
    # The same for each attempt: a mail server that saw the first one may drop the second.
    mail["Message-ID"] = f"<{message.id}@{settings.mail_from.rpartition('@')[2].strip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: out-of-office answers stay away
    mail.set_content(message.body)
    return mail
