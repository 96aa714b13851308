"""Checking a name and a password: guesses counted first, hashing outside any transaction, one answer for every "no".

A wrong password, an unknown name and an account without a password cost the same and read the same. The guess is
counted and committed before the check, so that a thousand parallel guesses can't beat the count (I14, lesson 13).
"""

from dataclasses import dataclass
from datetime import datetime

from idp import audit
from idp.kit.opaque import Secret
from idp.sessions import Device, SignInRefused, StartedSession, start_browser_session
from idp.users import (
    checks_for,
    find_known_person,
    needs_rehash,
    normalize_login_name,
    refund_guess,
    replace_password_hash,
    reserve_guess,
)
from idp.web.services import Services


@dataclass(frozen=True)
class WrongPair:
    """The name and the password do not belong together; which of them is wrong is not told."""


@dataclass(frozen=True)
class TooManyGuesses:
    """The budget of the person or of the address is used up until `retry_at`."""

    retry_at: datetime | None


@dataclass(frozen=True)
class ProvenPerson:
    """Somebody who knew the password of this account while it was in this epoch."""

    user_id: str
    epoch: int
    person: str
    old_hash: str
    new_hash: str | None


PasswordAnswer = ProvenPerson | WrongPair | TooManyGuesses


def check_password(services: Services, *, name: str, password: Secret, device: Device, now: datetime) -> PasswordAnswer:
    """Check a pair. Two short transactions around the hash. Raises PasswordChecksBusy when the machine is too busy."""
    with services.database.transaction() as tx:
        user = find_known_person(tx, name)
        # One budget for all names of a person: e-mail and username must not give twice the guesses.
        person = user.id if user else normalize_login_name(name)
        verdict = reserve_guess(
            tx,
            person=person,
            address=device.ip_address,
            now=now,
            settings=services.settings,
            keyring=services.keyring,
        )
    if not verdict.allowed:
        return TooManyGuesses(verdict.retry_at)
    checks = checks_for(services.settings.concurrent_password_checks)
    stored = user.password_hash if user else None
    if not checks.verify(stored, password) or user is None or stored is None:
        with services.database.transaction() as tx:
            audit.record(
                tx,
                "sign_in_refused",
                now=now,
                user_id=user.id if user else None,
                actor="person",
                ip_address=device.ip_address,
                details={"method": "pwd", "agent": device.agent_name, "os": device.os_name},
            )
        return WrongPair()
    new_hash = checks.hash(password) if needs_rehash(stored) else None
    return ProvenPerson(user_id=user.id, epoch=user.epoch, person=person, old_hash=stored, new_hash=new_hash)


def start_session(
    services: Services,
    *,
    proven: ProvenPerson,
    keep_signed_in: bool,
    device: Device,
    previous_handle: str | None,
    now: datetime,
) -> StartedSession | SignInRefused:
    """Start the session of a person who has proven the password. One transaction.

    The epoch is the one under which the password was read: "sign out everywhere" or a password change in between
    refuses this sign-in (design §2.7).
    """
    with services.database.transaction() as tx:
        started = start_browser_session(
            tx,
            user_id=proven.user_id,
            expected_epoch=proven.epoch,
            amr=["pwd"],
            acr=None,
            keep_signed_in=keep_signed_in,
            device=device,
            previous_handle=previous_handle,
            settings=services.settings,
            now=now,
        )
        if isinstance(started, StartedSession):
            refund_guess(tx, person=proven.person, address=device.ip_address, keyring=services.keyring)
            if proven.new_hash is not None:
                replace_password_hash(tx, user_id=proven.user_id, old_hash=proven.old_hash, new_hash=proven.new_hash)
        return started
