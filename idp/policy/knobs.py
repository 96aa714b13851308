"""What can be decided at run time, within which bounds, and how it is written: one table, read by rules and commands.

A knob has the name of the setting that is its default. Bounds keep a slip of the hand from signing everybody out:
pages note activity once a minute, so that an idle time-out below five minutes would end sessions in use.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from idp.settings import LONGEST_LIFETIME, Settings

_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}

Value = timedelta | bool | int


@dataclass(frozen=True)
class Knob:
    """One thing that can be decided. `least` and `most` are values of its kind; a flag has neither."""

    name: str
    what: str
    least: Value | None = None
    most: Value | None = None
    is_for_clients: bool = False
    is_for_everyone: bool = True
    # What counts when nothing was decided, where no setting has the knob's own name.
    follows: str | None = None

    @property
    def ends_sessions(self) -> bool:
        """Whether a smaller value may end sign-ins that are live now."""
        return self.name.endswith(("_idle_lifetime", "_absolute_lifetime")) or self.name == "keep_signed_in"

    def default(self, settings: Settings) -> Value:
        """What counts when nothing was decided: the setting of the same name, or the one that this knob follows."""
        value: Value = getattr(settings, self.follows or self.name)
        return value

    def read(self, text: str) -> Value | None:
        """Text → value, or None when it is not of this kind. Bounds are another matter."""
        spelled = text.strip().lower()
        if self.least is None:
            return _WORDS.get(spelled)
        if isinstance(self.least, timedelta):
            match = re.fullmatch(r"([0-9]{1,9})\s*([smhd]?)", spelled)
            return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2) or "s"]) if match else None
        return int(spelled) if re.fullmatch(r"[0-9]{1,9}", spelled) else None

    def is_within_bounds(self, value: Value) -> bool:
        """Whether an operator may choose this value."""
        if self.least is None or self.most is None:
            return True
        return to_integer(self.least) <= to_integer(value) <= to_integer(self.most)

    def bounds(self) -> str:
        """What may be chosen, in words."""
        if self.least is None or self.most is None:
            return "on or off"
        return f"{spell(self.least)} to {spell(self.most)}"


def spell(value: Value) -> str:
    """A value as one would write it: `28d`, `on`, `50`."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return str(value)
    seconds = value // timedelta(seconds=1)
    whole = [(unit, size) for unit, size in _UNITS.items() if seconds >= size and seconds % size == 0]
    unit, size = whole[-1] if whole else ("s", 1)
    return f"{seconds // size}{unit}"


def to_integer(value: Value) -> int:
    """How a value is stored: microseconds, a count, 0 or 1."""
    return value // _MICROSECOND if isinstance(value, timedelta) else int(value)


def from_integer(knob: Knob, stored: int) -> Value:
    """Inverse of `to_integer`."""
    if knob.least is None:
        return bool(stored)
    return timedelta(microseconds=stored) if isinstance(knob.least, timedelta) else stored


_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_SHORTEST = 5 * _MINUTE

KNOBS: Sequence[Knob] = (
    Knob("browser_idle_lifetime", "a browser is signed out when unused this long", _SHORTEST, LONGEST_LIFETIME),
    Knob("keep_signed_in", "whether people may choose to stay signed in; off takes it from those who did"),
    Knob(
        "keep_signed_in_idle_lifetime", "the idle time of a browser that is kept signed in", _SHORTEST, LONGEST_LIFETIME
    ),
    Knob("browser_absolute_lifetime", "a browser is signed out this long after sign-in", _SHORTEST, LONGEST_LIFETIME),
    Knob(
        "app_idle_lifetime",
        "an app or tool is signed out when it has not refreshed this long",
        _SHORTEST,
        LONGEST_LIFETIME,
        is_for_clients=True,
    ),
    Knob(
        "app_absolute_lifetime",
        "an app or tool is signed out this long after its sign-in",
        _SHORTEST,
        LONGEST_LIFETIME,
        is_for_clients=True,
    ),
    # For clients only: what all share ends with the browser's session.
    Knob(
        "participation_idle_lifetime",
        "an application is signed out of a browser when it has not refreshed or signed in there this long",
        _SHORTEST,
        LONGEST_LIFETIME,
        is_for_clients=True,
        is_for_everyone=False,
        follows="browser_absolute_lifetime",
    ),
    Knob(
        "participation_absolute_lifetime",
        "an application is signed out of a browser this long after it signed in there",
        _SHORTEST,
        LONGEST_LIFETIME,
        is_for_clients=True,
        is_for_everyone=False,
        follows="browser_absolute_lifetime",
    ),
    Knob(
        "app_sessions_per_client",
        "copies of one app that a person may be signed in with; 0: any number",
        0,
        10_000,
        is_for_clients=True,
    ),
    Knob(
        "refresh_leeway_lifetime",
        "how long after a rotation the token before is still answered",
        timedelta(0),
        _MINUTE,
        is_for_clients=True,
    ),
    Knob(
        "lost_answer_lifetime",
        "how long the token before counts as a lost answer and not as theft",
        timedelta(0),
        7 * _DAY,
        is_for_clients=True,
    ),
    # For clients only, and only shorter: it bounds how long an application outlives a sign-out.
    Knob(
        "access_token_lifetime",
        "how long an access token lives; for one application, and not longer than the installation's",
        timedelta(seconds=10),
        timedelta(hours=1),
        is_for_clients=True,
        is_for_everyone=False,
    ),
)

_BY_NAME = {knob.name: knob for knob in KNOBS}

# (shorter, longer): an idle time-out beyond the absolute end would promise what cannot be.
ORDERED: Sequence[tuple[str, str]] = (
    ("browser_idle_lifetime", "browser_absolute_lifetime"),
    ("keep_signed_in_idle_lifetime", "browser_absolute_lifetime"),
    ("app_idle_lifetime", "app_absolute_lifetime"),
    ("participation_idle_lifetime", "participation_absolute_lifetime"),
)


def find_knob(name: str) -> Knob | None:
    """The knob of this name, hyphens or underscores, or None."""
    return _BY_NAME.get(name.strip().lower().replace("-", "_"))


def broken_order(values: dict[str, Any]) -> tuple[str, str] | None:
    """The first pair (shorter, longer) that these values turn round, or None. What is not among them is not limited."""
    return next(
        (
            (shorter, longer)
            for shorter, longer in ORDERED
            if shorter in values and longer in values and values[shorter] > values[longer]
        ),
        None,
    )
