"""Deciding: setting and unsetting values within their bounds, each with its audit row in the same commit.

Every change first locks the row `revision`, so that changes wait for each other (two that fit each alone might
contradict each other together), and then raises it, which tells workers that there may be something to write down.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from idp import audit
from idp.db.engine import Tx
from idp.db.models import Client, PolicyValue
from idp.db.types import to_microseconds
from idp.policy.in_force import read_in_force
from idp.policy.in_statement import SIGN_IN_AGAIN_SINCE
from idp.policy.knobs import KNOBS, Knob, Value, broken_order, find_knob, spell, to_integer
from idp.settings import Settings

_REVISION = "revision"


@dataclass(frozen=True)
class PolicyProblem:
    """Why a decision was refused, as a sentence that says what to do."""

    sentence: str


@dataclass(frozen=True)
class Changed:
    """What a decision replaced by what."""

    knob: Knob
    before: Value
    after: Value


def set_value(
    tx: Tx, *, name: str, text: str, client_id: str | None, settings: Settings, actor: str, now: datetime
) -> Changed | PolicyProblem:
    """Decide a value as an operator writes it. It counts for every statement that begins after the commit."""
    knob = _find(name, for_client=client_id is not None)
    if isinstance(knob, PolicyProblem):
        return knob
    value = knob.read(text)
    if value is None:
        return PolicyProblem(f"{text!r} is no value for {knob.name}: {_how_to_write(knob)}.")
    if not knob.is_within_bounds(value):
        return PolicyProblem(f"{knob.name} must be {knob.bounds()}; {spell(value)} is not.")
    return _decide(tx, knob, value, client_id=client_id, settings=settings, actor=actor, now=now)


def unset_value(
    tx: Tx, *, name: str, client_id: str | None, settings: Settings, actor: str, now: datetime
) -> Changed | PolicyProblem:
    """Take a decision back: the setting counts again, or for a client the installation's value."""
    knob = _find(name, for_client=client_id is not None)
    if isinstance(knob, PolicyProblem):
        return knob
    return _decide(tx, knob, None, client_id=client_id, settings=settings, actor=actor, now=now)


def ask_for_sign_in(tx: Tx, *, since: datetime, client_id: str | None, actor: str, now: datetime) -> bool:
    """Declare over what rests on a sign-in older than `since`: everybody's sessions, or what one client was given.

    False when that was said already, or of a later moment; the caller knows the client.
    """
    _lock_revision(tx, now)
    if client_id is None:
        before = tx.scalar(select(PolicyValue.value).where(PolicyValue.name == SIGN_IN_AGAIN_SINCE))
        # Never back: what was declared over stays over (I1).
        if before is not None and before >= to_microseconds(since):
            return False
        _put(tx, SIGN_IN_AGAIN_SINCE, to_microseconds(since), now)
    else:
        client = _lock_client(tx, client_id)
        if client is None or (client.sign_in_again_since is not None and client.sign_in_again_since >= since):
            return False
        client.sign_in_again_since = since
        tx.flush()
    _raise_revision(tx, now)
    details = {"since": since.isoformat(), "whom": "client" if client_id else "everyone"}
    audit.record(tx, "sign_in_again", now=now, client_id=client_id, actor=actor, details=details)
    return True


def find_revision(tx: Tx) -> int:
    """A number that every change raises."""
    return tx.scalar(select(PolicyValue.value).where(PolicyValue.name == _REVISION)) or 0


def _find(name: str, *, for_client: bool) -> Knob | PolicyProblem:
    knob = find_knob(name)
    if knob is None:
        names = ", ".join(knob.name for knob in KNOBS)
        return PolicyProblem(f"There is no policy {name!r}. These can be decided: {names}.")
    if for_client and not knob.is_for_clients:
        return PolicyProblem(f"{knob.name} holds for the whole installation: leave --client out.")
    if not for_client and not knob.is_for_everyone:
        return PolicyProblem(
            f"{knob.name} can be decided for one application (--client); "
            f"for all it is IDP_{(knob.follows or knob.name).upper()}."
        )
    return knob


def _how_to_write(knob: Knob) -> str:
    if knob.least is None:
        return "write on or off"
    return "write a whole number" if isinstance(knob.least, int) else "write 90, 5m, 24h or 28d"


def _decide(
    tx: Tx,
    knob: Knob,
    value: Value | None,
    *,
    client_id: str | None,
    settings: Settings,
    actor: str,
    now: datetime,
) -> Changed | PolicyProblem:
    _lock_revision(tx, now)
    today = read_in_force(tx, settings).settings
    client = _lock_client(tx, client_id) if client_id is not None else None
    if client_id is not None and client is None:
        return PolicyProblem("No application has that client_id. `idp clients list` shows them all.")
    # What counts when this value is taken away: for a client the installation's, for the installation the setting.
    fallback = knob.default(settings if client is None else today)
    values = {one.name: one.default(today) for one in KNOBS if one.follows is None}
    if client is not None:
        own = {one.name: getattr(client, one.name) for one in KNOBS if one.is_for_clients}
        values |= {name: decided for name, decided in own.items() if decided is not None}
    before, after = values.get(knob.name, fallback), fallback if value is None else value
    if value is None and knob.follows is not None:
        values.pop(knob.name, None)  # not limited any more
    else:
        values[knob.name] = after
    if knob.name == "access_token_lifetime" and value is not None and to_integer(after) > to_integer(fallback):
        return PolicyProblem(
            f"{knob.name} may only be shorter than the installation's, which is {spell(fallback)}: "
            f"an application must not outlive a sign-out by longer than others."
        )
    if broken := broken_order(values):
        shorter, longer = broken
        return PolicyProblem(
            f"{shorter} ({spell(values[shorter])}) would be longer than {longer} ({spell(values[longer])}): "
            f"lower the first or raise the second, in this order."
        )
    if client is not None:
        tx.execute(
            update(Client)
            .where(Client.id == client.id)
            .values({knob.name: value})
            .execution_options(synchronize_session=False)
        )
    elif value is None:
        tx.execute(delete(PolicyValue).where(PolicyValue.name == knob.name))
    else:
        _put(tx, knob.name, to_integer(value), now)
    _raise_revision(tx, now)
    audit.record(
        tx,
        "policy_changed",
        now=now,
        client_id=client_id,
        actor=actor,
        details={"policy": knob.name, "before": spell(before), "after": spell(after), "is_default": value is None},
    )
    return Changed(knob, before, after)


def _lock_client(tx: Tx, client_id: str) -> Client | None:
    return tx.scalar(
        select(Client)
        .where(Client.id == client_id, Client.deleted_at.is_(None))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def _lock_revision(tx: Tx, now: datetime) -> None:
    insert = _insert(tx, _REVISION, 0, now)
    # An update that changes nothing: it takes the lock also where the row was there before.
    tx.execute(insert.on_conflict_do_update(index_elements=[PolicyValue.name], set_={"value": PolicyValue.value}))


def _raise_revision(tx: Tx, now: datetime) -> None:
    # The time, and not one more: in a restored back-up a number that a worker remembers must not come a second time.
    this, next_one = to_microseconds(now), PolicyValue.value + 1
    tx.execute(
        update(PolicyValue)
        .where(PolicyValue.name == _REVISION)
        .values(value=case((next_one > this, next_one), else_=this), set_at=now)
        .execution_options(synchronize_session=False)
    )


def _put(tx: Tx, name: str, value: int, now: datetime) -> None:
    insert = _insert(tx, name, value, now)
    tx.execute(insert.on_conflict_do_update(index_elements=[PolicyValue.name], set_={"value": value, "set_at": now}))


def _insert(tx: Tx, name: str, value: int, now: datetime) -> postgresql.Insert | sqlite.Insert:
    # The same words on both; SQLAlchemy keeps them apart.
    make = sqlite.insert if tx.get_bind().dialect.name == "sqlite" else postgresql.insert
    return make(PolicyValue).values(name=name, value=value, set_at=now)
