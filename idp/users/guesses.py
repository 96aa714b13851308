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

from sqlalchemy import String, bindparam, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from idp.db.engine import Tx
from idp.db.models import GuessBudget
from idp.db.once import run
from idp.db.types import UTCDateTime
from idp.kit.keyring import Keyring
from idp.kit.opaque import base64url
from idp.settings import Settings

_PURPOSE = "guess-budget"


_IS_IT = GuessBudget.key == bindparam("budget", type_=String())
_GIVE_BACK_ONE = update(GuessBudget).where(_IS_IT, GuessBudget.guesses > 0).values(guesses=GuessBudget.guesses - 1)
_START_AFRESH = delete(GuessBudget).where(_IS_IT)


def _count_one(insert: Any) -> Any:
    now = bindparam("now", type_=UTCDateTime())
    is_over = GuessBudget.window_started_at <= bindparam("one_window_ago", type_=UTCDateTime())
    return (
        insert(GuessBudget)
        .values(key=bindparam("budget", type_=String()), window_started_at=now, guesses=1)
        .on_conflict_do_update(
            index_elements=[GuessBudget.key],
            set_={
                "guesses": case((is_over, 1), else_=GuessBudget.guesses + 1),
                # A clock that stepped back must not prolong the window.
                "window_started_at": case(
                    (is_over | (GuessBudget.window_started_at > now), now), else_=GuessBudget.window_started_at
                ),
            },
        )
        .returning(GuessBudget.guesses, GuessBudget.window_started_at)
    )


_COUNT = {"sqlite": _count_one(sqlite.insert), "postgresql": _count_one(postgresql.insert)}


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
    run(tx, _GIVE_BACK_ONE, {"budget": _key(keyring, "address", _network_of(address))})
    run(tx, _START_AFRESH, {"budget": _key(keyring, "person", person)})


@dataclass(frozen=True)
class _Counted:
    guesses: int
    window_started_at: datetime


def _count(tx: Tx, key: str, *, now: datetime, window: timedelta) -> _Counted:
    statement = _COUNT[tx.get_bind().dialect.name]
    row = run(tx, statement, {"budget": key, "now": now, "one_window_ago": now - window}).one()
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
