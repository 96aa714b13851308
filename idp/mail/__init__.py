"""Mail to people: written in the commit that it tells of, sent later by the worker (design §7, the durable outbox).

Owns the texts (`letters`, `account_letters`), the waiting messages (`queue`) and the one place that speaks SMTP
(`smtp`). Refuses to put a secret into a message that is stored: a link that proves something would be made when it is
sent. Without a mail server in the settings nothing is written at all.
"""

from idp.mail.account_letters import account_closed, account_deleted, account_opened, password_set_for_you
from idp.mail.backlog import MailBacklog, measure_mail
from idp.mail.letters import Letter, old_token_used, password_changed, too_many_copies
from idp.mail.queue import ClaimedMail, claim_due_mail, enqueue_mail, settle_mail
from idp.mail.smtp import CouldNotSend, send

__all__ = [
    "ClaimedMail",
    "CouldNotSend",
    "Letter",
    "MailBacklog",
    "account_closed",
    "account_deleted",
    "account_opened",
    "claim_due_mail",
    "enqueue_mail",
    "measure_mail",
    "old_token_used",
    "password_changed",
    "password_set_for_you",
    "send",
    "settle_mail",
    "too_many_copies",
]
