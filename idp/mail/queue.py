"""Messages waiting to be sent: leased to one worker at a time, tried for a day, then visibly given up.

A lease is `next_attempt_at` moved into the future, as in `idp.outbox.claim`: a worker that dies leaves its messages to
come due by themselves. A message may be sent twice when a worker dies between the mail server's "yes" and the commit;
it is never lost.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, insert, literal_column, select, update

from idp.db.engine import Tx
from idp.db.models import MailMessage, MailState, User
from idp.db.once import run
from idp.kit.identifiers import new_identifier, shard_key_in
from idp.mail.letters import Letter
from idp.settings import Settings

LEASE = timedelta(minutes=2)
LONGEST_WAIT = timedelta(hours=1)
# Spelled out, not bound: only so do both databases use the partial index on pending rows.
IS_PENDING: ColumnElement[bool] = literal_column("mail_messages.state = 'pending'")

_ADDRESS = select(User.email).where(User.id == bindparam("user"), User.deleted_at.is_(None))
_INSERT = insert(MailMessage)


@dataclass(frozen=True)
class ClaimedMail:
    """A message that this worker may try to send once."""

    id: str
    recipient: str
    subject: str
    body: str
    attempts: int
    created_at: datetime
    holder: str


def enqueue_mail(
    tx: Tx, *, user_id: str, letter: Letter, settings: Settings, now: datetime, last_address: str | None = None
) -> bool:
    """Write a message to a person in the caller's transaction. False: there is no mail server, or no address.

    `last_address` is for the one message to somebody whose account was wiped in this transaction.
    """
    if not settings.smtp_host:
        return False
    known = run(tx, _ADDRESS, {"user": user_id}).scalar_one_or_none()
    recipient = last_address or known
    if recipient is None:
        return False
    run(
        tx,
        _INSERT,
        {
            "id": new_identifier(shard_key_in(user_id), now),
            "user_id": user_id,
            "kind": letter.kind,
            "recipient": recipient,
            "subject": letter.subject,
            "body": letter.body,
            "state": MailState.PENDING,
            "next_attempt_at": now,
            "created_at": now,
        },
    )
    return True


def claim_due_mail(tx: Tx, *, holder: str, now: datetime, limit: int = 10) -> list[ClaimedMail]:
    """Lease the oldest due messages to `holder`; attempt nothing before this transaction is committed."""
    due = IS_PENDING & (MailMessage.next_attempt_at <= now)
    chosen = tx.scalars(
        select(MailMessage.id)
        .where(due)
        .order_by(MailMessage.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    if not chosen:
        return []
    rows = tx.execute(
        update(MailMessage)
        .where(MailMessage.id.in_(chosen), due)
        .values(attempts=MailMessage.attempts + 1, lease_holder=holder, next_attempt_at=now + LEASE)
        .returning(
            MailMessage.id,
            MailMessage.recipient,
            MailMessage.subject,
            MailMessage.body,
            MailMessage.attempts,
            MailMessage.created_at,
        )
        .execution_options(synchronize_session=False)
    )
    return [ClaimedMail(*row, holder=holder) for row in rows]


def settle_mail(
    tx: Tx, claimed: ClaimedMail, *, failure: str | None, is_final: bool, settings: Settings, now: datetime
) -> MailState | None:
    """Write down what an attempt led to. `failure` None: it was sent. Returns None when the lease was lost."""
    is_too_late = now - claimed.created_at >= settings.delivery_deadline_lifetime
    state = MailState.PENDING
    if failure is None:
        state = MailState.SENT
    elif is_final or is_too_late:
        state = MailState.GAVE_UP
    wait = min(LONGEST_WAIT, timedelta(minutes=2 ** min(claimed.attempts - 1, 10)))
    written = tx.execute(
        update(MailMessage)
        .where(
            MailMessage.id == claimed.id,
            IS_PENDING,
            MailMessage.lease_holder == claimed.holder,
            MailMessage.attempts == claimed.attempts,
        )
        .values(
            state=state,
            settled_at=None if state is MailState.PENDING else now,
            next_attempt_at=now + wait,
            lease_holder=None,
            last_failure=failure,
        )
        .returning(MailMessage.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if written is not None and state is not MailState.PENDING:
        _forget_address(tx, claimed.id)
    return state if written is not None else None


def _forget_address(tx: Tx, message_id: str) -> None:
    """Of somebody who was deleted nothing is kept: the last message goes with its address, sent or given up."""
    tx.execute(
        delete(MailMessage)
        .where(
            MailMessage.id == message_id, MailMessage.user_id.in_(select(User.id).where(User.deleted_at.is_not(None)))
        )
        .execution_options(synchronize_session=False)
    )
