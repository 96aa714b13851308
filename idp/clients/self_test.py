"""Links by which an RP's developer tries how the RP receives logout notices: made by an operator, for one browser.

Owns who may test and how often: the link is a secret of 128 bits, stored as a hash, good for eight hours, bound to the
first browser that opens it, and dead with its client. Refuses a second test while one is under way, so that nobody can
make this service send as fast as they like (docs/adr/0013). What is sent, and its meaning, is `idp.logout`'s.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update

from idp.audit import record
from idp.db.engine import Tx
from idp.db.models import Client, SelfTestLink
from idp.kit.identifiers import SHARDS, new_identifier
from idp.kit.opaque import Secret, hash_secret, make_handle, new_secret, secret_matches, split_handle

LIFETIME = timedelta(hours=8)
MOST_TESTS = 50
PAUSE = timedelta(seconds=10)
# A worker that dies leaves its test to come due again; one that nobody took in time is given up.
LEASE = timedelta(minutes=2)
GIVEN_UP_AFTER = timedelta(minutes=10)


class Asked(StrEnum):
    """What became of asking for a test."""

    YES = "yes"
    UNDER_WAY = "under_way"
    TOO_SOON = "too_soon"
    USED_UP = "used_up"


@dataclass(frozen=True)
class SelfTest:
    """A link as a browser may see it. `is_open`: in this very browser; `is_taken`: in another one.

    `results` are those of the latest finished test, at `answered_at`, as `finish_test` was given them.
    """

    id: str
    client: Client
    is_open: bool
    is_taken: bool
    expires_at: datetime
    tests_left: int
    is_waiting: bool
    is_given_up: bool
    answered_at: datetime | None
    results: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class TakenTest:
    """A test that this worker may run; `asked_at` tells it from a later one of the same link."""

    link_id: str
    client: Client
    asked_at: datetime


def make_self_test_link(tx: Tx, *, client_id: str, actor: str, now: datetime) -> tuple[Secret, datetime]:
    """A new link's handle and until when it is good. The client must exist; whoever asks is an operator."""
    identifier, secret = new_identifier(secrets.randbelow(SHARDS), now), new_secret(128)
    expires_at = now + LIFETIME
    tx.add(
        SelfTestLink(
            id=identifier,
            client_id=client_id,
            secret_hash=hash_secret(secret.reveal()),
            created_at=now,
            expires_at=expires_at,
        )
    )
    tx.flush()
    record(tx, "self_test_link_made", now=now, client_id=client_id, actor=actor, details={"link": identifier})
    return Secret(make_handle(identifier, secret)), expires_at


def withdraw_self_test_links(tx: Tx, *, client_id: str, actor: str, now: datetime) -> int:
    """Make every link of a client worthless at once; returns how many were good."""
    good = SelfTestLink.expires_at > now
    gone = tx.execute(
        delete(SelfTestLink)
        .where(SelfTestLink.client_id == client_id, good)
        .returning(SelfTestLink.id)
        .execution_options(synchronize_session=False)
    ).all()
    if gone:
        details = {"links": len(gone)}
        record(tx, "self_test_links_withdrawn", now=now, client_id=client_id, actor=actor, details=details)
    return len(gone)


def find_self_test(tx: Tx, handle: str, *, browser: str | None, now: datetime) -> SelfTest | None:
    """The link behind a handle as `browser` (its binding) may see it; None for garbage, expired, and dead clients."""
    row = _find_genuine(tx, handle, now)
    if row is None:
        return None
    link, client = row
    is_open = browser is not None and secret_matches(browser, link.browser_hash)
    asked_at = link.asked_at
    is_asked = asked_at is not None and (link.answered_at is None or link.answered_at < asked_at)
    is_given_up = is_asked and asked_at is not None and asked_at <= now - GIVEN_UP_AFTER
    return SelfTest(
        id=link.id,
        client=client,
        is_open=is_open,
        is_taken=link.browser_hash is not None and not is_open,
        expires_at=link.expires_at,
        tests_left=max(0, MOST_TESTS - link.tests),
        is_waiting=is_asked and not is_given_up,
        is_given_up=is_given_up,
        answered_at=link.answered_at,
        results=tuple(link.results) if not is_asked else (),
    )


def open_self_test(tx: Tx, handle: str, *, browser: str, ip_address: str, now: datetime) -> bool:
    """Bind an unopened link to this browser. False: it was opened already, or is no good."""
    row = _find_genuine(tx, handle, now)
    if row is None:
        return False
    link, client = row
    bound = tx.execute(
        update(SelfTestLink)
        .where(SelfTestLink.id == link.id, SelfTestLink.browser_hash.is_(None))
        .values(browser_hash=hash_secret(browser))
        .returning(SelfTestLink.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if bound is not None:
        details = {"link": link.id}
        record(tx, "self_test_link_opened", now=now, client_id=client.id, ip_address=ip_address, details=details)
    return bound is not None


def ask_for_test(tx: Tx, test: SelfTest, *, ip_address: str, now: datetime) -> Asked:
    """Let a worker test; counted here, before anything is sent (as guesses are)."""
    asked = tx.execute(
        update(SelfTestLink)
        .where(
            SelfTestLink.id == test.id,
            SelfTestLink.tests < MOST_TESTS,
            or_(SelfTestLink.asked_at.is_(None), SelfTestLink.asked_at <= now - PAUSE),
            ~_is_waiting(now),
        )
        .values(tests=SelfTestLink.tests + 1, asked_at=now, leased_until=None)
        .returning(SelfTestLink.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if asked is None:
        return _why_not(tx, test.id, now)
    details = {"link": test.id}
    record(tx, "self_test_asked", now=now, client_id=test.client.id, ip_address=ip_address, details=details)
    return Asked.YES


def has_waiting_test(tx: Tx, now: datetime) -> bool:
    """Whether a worker has something to take: a look that takes no lock."""
    return tx.scalars(select(SelfTestLink.id).where(_may_be_taken(now)).limit(1)).one_or_none() is not None


def take_test(tx: Tx, *, now: datetime) -> TakenTest | None:
    """Lease the oldest waiting test; send nothing before this transaction is committed."""
    chosen = tx.scalars(
        select(SelfTestLink.id)
        .where(_may_be_taken(now))
        .order_by(SelfTestLink.asked_at)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()
    if chosen is None:
        return None
    taken = tx.execute(
        update(SelfTestLink)
        .where(SelfTestLink.id == chosen, _may_be_taken(now))
        .values(leased_until=now + LEASE)
        .returning(SelfTestLink.client_id, SelfTestLink.asked_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    client = tx.get(Client, taken.client_id) if taken is not None else None
    if taken is None or client is None:
        return None
    return TakenTest(chosen, client, taken.asked_at)


def finish_test(tx: Tx, taken: TakenTest, results: Sequence[dict[str, Any]], *, now: datetime) -> bool:
    """Write down what came of a test. False: the link was withdrawn, or the test is another one by now."""
    written = tx.execute(
        update(SelfTestLink)
        .where(SelfTestLink.id == taken.link_id, SelfTestLink.asked_at == taken.asked_at)
        # Never before the question: a clock that stepped back must not leave the test waiting.
        .values(results=list(results), answered_at=max(now, taken.asked_at), leased_until=None)
        .returning(SelfTestLink.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return written is not None


def _find_genuine(tx: Tx, handle: str, now: datetime) -> tuple[SelfTestLink, Client] | None:
    parts = split_handle(handle)
    if parts is None:
        return None
    identifier, secret = parts
    row = tx.execute(
        select(SelfTestLink, Client)
        .join(Client, Client.id == SelfTestLink.client_id)
        .where(
            SelfTestLink.id == identifier,
            SelfTestLink.expires_at > now,
            Client.disabled_at.is_(None),
            Client.deleted_at.is_(None),
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None or not secret_matches(secret.reveal(), row[0].secret_hash):
        return None
    return row[0], row[1]


def _is_waiting(now: datetime) -> ColumnElement[bool]:
    return SelfTestLink.asked_at.is_not(None) & (
        (SelfTestLink.asked_at > now - GIVEN_UP_AFTER)
        & or_(SelfTestLink.answered_at.is_(None), SelfTestLink.answered_at < SelfTestLink.asked_at)
    )


def _may_be_taken(now: datetime) -> ColumnElement[bool]:
    is_free = or_(SelfTestLink.leased_until.is_(None), SelfTestLink.leased_until <= now)
    is_allowed = (
        select(Client.id)
        .where(Client.id == SelfTestLink.client_id, Client.disabled_at.is_(None), Client.deleted_at.is_(None))
        .exists()
    )
    return _is_waiting(now) & is_free & (SelfTestLink.expires_at > now) & is_allowed


def _why_not(tx: Tx, link_id: str, now: datetime) -> Asked:
    row = tx.execute(select(SelfTestLink.tests, _is_waiting(now)).where(SelfTestLink.id == link_id)).one_or_none()
    if row is None or row[0] >= MOST_TESTS:
        return Asked.USED_UP
    return Asked.UNDER_WAY if row[1] else Asked.TOO_SOON
