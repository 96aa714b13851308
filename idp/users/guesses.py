"""Guess budgets: how many secrets may be tried against one person, and from one address, within a window (I14).

A guess is counted before it is checked, in one upsert: counting after the check lets a thousand parallel guesses
through before the first is counted. The same budget serves every path (password, later codes and second factors), and
names without an account have one too, so that being locked tells nothing. Keys are HMACs: the table reveals no name.
Serves NIST SP 800-63B §3.2.2.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any

from sqlalchemy import case, delete, literal, update
from sqlalchemy.dialects import postgresql, sqlite

from idp.db.engine import Tx
from idp.db.models import GuessBudget
from idp.db.types import UTCDateTime
from idp.kit.keyring import Keyring
from idp.kit.opaque import base64url
from idp.settings import Settings

_PURPOSE = "guess-budget"


@dataclass(frozen=True)
class GuessVerdict:
    """Whether the secret may be checked at all; if not, `retry_at` is when the window ends."""

    allowed: bool
    retry_at: datetime | None = None


def reserve_guess(
    tx: Tx, *, person: str, address: str, now: datetime, settings: Settings, keyring: Keyring
) -> GuessVerdict:
    """Count one guess, and say whether the secret may be checked. Commit before checking.

    `person`: the user's identifier when known, else the normalized login name. `address`: the client's IP address.
    """
    window = settings.guess_window_lifetime
    # The address first, always: one lock order for all, and a barred address can't use up a stranger's budget.
    by_address = _count(tx, _key(keyring, "address", _network_of(address)), now=now, window=window)
    if by_address.guesses > settings.guesses_per_address:
        return GuessVerdict(allowed=False, retry_at=by_address.window_started_at + window)
    by_person = _count(tx, _key(keyring, "person", person), now=now, window=window)
    if by_person.guesses > settings.guesses_per_person:
        return GuessVerdict(allowed=False, retry_at=by_person.window_started_at + window)
    return GuessVerdict(allowed=True)


def refund_guess(tx: Tx, *, person: str, address: str, keyring: Keyring) -> None:
    """After a right secret: the person starts afresh, and the address gets this one guess back.

    Only this one: an attacker with an account of their own must not wash an address clean by signing in.
    """
    tx.execute(
        update(GuessBudget)
        .where(GuessBudget.key == _key(keyring, "address", _network_of(address)), GuessBudget.guesses > 0)
        .values(guesses=GuessBudget.guesses - 1)
        .execution_options(synchronize_session=False)
    )
    tx.execute(
        delete(GuessBudget)
        .where(GuessBudget.key == _key(keyring, "person", person))
        .execution_options(synchronize_session=False)
    )


@dataclass(frozen=True)
class _Counted:
    guesses: int
    window_started_at: datetime


def _count(tx: Tx, key: str, *, now: datetime, window: timedelta) -> _Counted:
    insert: Any = postgresql.insert if tx.get_bind().dialect.name == "postgresql" else sqlite.insert
    is_over = GuessBudget.window_started_at <= now - window
    statement = (
        insert(GuessBudget)
        .values(key=key, window_started_at=now, guesses=1)
        .on_conflict_do_update(
            index_elements=[GuessBudget.key],
            set_={
                "guesses": case((is_over, 1), else_=GuessBudget.guesses + 1),
                # A clock that stepped back must not prolong the window.
                "window_started_at": case(
                    (is_over | (GuessBudget.window_started_at > now), literal(now, UTCDateTime())),
                    else_=GuessBudget.window_started_at,
                ),
            },
        )
        .returning(GuessBudget.guesses, GuessBudget.window_started_at)
    )
    row = tx.execute(statement).one()
    return _Counted(row.guesses, row.window_started_at)


def _key(keyring: Keyring, kind: str, name: str) -> str:
    tag = keyring.tag(_PURPOSE, f"{kind}:{name}".encode("utf-8", "surrogatepass"))
    return f"{kind}:{base64url(tag)}"


def _network_of(address: str) -> str:
    """IPv6: the /64, which is what one subscriber gets; else the address itself."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)
