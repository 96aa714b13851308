"""The values in force as Python values, for what no statement can decide: pages, hints, lists. One statement."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from idp.db.engine import Tx
from idp.db.models import Client, PolicyValue
from idp.db.once import run
from idp.db.types import from_microseconds
from idp.policy.in_statement import SIGN_IN_AGAIN_SINCE
from idp.policy.knobs import KNOBS, Knob, Value, from_integer
from idp.settings import Settings


@dataclass(frozen=True)
class PolicyState:
    """Today's policy of the installation: the settings with what was decided, and the "sign in again" moment."""

    settings: Settings
    sign_in_again_since: datetime | None


@dataclass(frozen=True)
class Row:
    """One line of a list: what is in force, what would be without the decision, and when it was taken."""

    knob: Knob
    value: Value
    default: Value
    set_at: datetime | None
    is_decided: bool


def read_in_force(tx: Tx, settings: Settings) -> PolicyState:
    """Today's policy: `settings` with the decided values in place of its own."""
    return _state(_decided(tx), settings)


def list_in_force(tx: Tx, settings: Settings, *, client: Client | None = None) -> list[Row]:
    """Every knob with its value: the installation's, or those that a client may have of its own."""
    decided = _decided(tx)
    today = _state(decided, settings).settings
    if client is None:
        return [
            Row(
                knob,
                value=knob.default(today),
                default=knob.default(settings),
                set_at=decided[knob.name].set_at if knob.name in decided else None,
                is_decided=knob.name in decided,
            )
            for knob in KNOBS
            if knob.is_for_everyone
        ]
    rows = []
    for knob in KNOBS:
        if knob.is_for_clients:
            own: Value | None = getattr(client, knob.name)
            default = knob.default(today)
            rows.append(Row(knob, default if own is None else own, default, None, is_decided=own is not None))
    return rows


class _Decided(NamedTuple):
    value: int
    set_at: datetime


_DECIDED = select(PolicyValue.name, PolicyValue.value, PolicyValue.set_at)


def _decided(tx: Tx) -> Mapping[str, _Decided]:
    return {row.name: _Decided(row.value, row.set_at) for row in run(tx, _DECIDED, {})}


def _state(decided: Mapping[str, _Decided], settings: Settings) -> PolicyState:
    values = {
        knob.name: from_integer(knob, decided[knob.name].value)
        for knob in KNOBS
        if knob.is_for_everyone and knob.name in decided
    }
    since = decided.get(SIGN_IN_AGAIN_SINCE)
    return PolicyState(
        # Copied, not validated again: whoever decided was held to the bounds, and a value must never stop a sign-in.
        settings.model_copy(update=values) if values else settings,
        from_microseconds(since.value) if since else None,
    )
