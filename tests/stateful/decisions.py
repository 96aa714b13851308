"""What operators decided while everything runs, in the model: the values in force, and which decision must be refused.

Written from the how-to and not from the code. A client's own value wins; without one the installation's counts.
"""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.stateful.model import Application

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# What counts when nothing was decided (design §4, §5), and what the machine decides: each once too long or too short.
DEFAULTS = {
    "browser_idle_lifetime": "24h",
    "keep_signed_in": "on",
    "keep_signed_in_idle_lifetime": "28d",
    "browser_absolute_lifetime": "90d",
    "app_idle_lifetime": "30d",
    "app_absolute_lifetime": "365d",
    "app_sessions_per_client": "50",
    "refresh_leeway_lifetime": "10s",
    "lost_answer_lifetime": "24h",
    "access_token_lifetime": "5m",
}
CHOICES: dict[str, tuple[str, ...]] = {
    "browser_idle_lifetime": ("10m", "8h", "40d", "400d"),
    "keep_signed_in": ("off", "off", "on"),
    "keep_signed_in_idle_lifetime": ("1h", "14d", "91d"),
    "browser_absolute_lifetime": ("2h", "30d", "365d"),
    "app_idle_lifetime": ("1h", "20d", "366d"),
    "app_absolute_lifetime": ("3h", "40d", "1000d"),
    "app_sessions_per_client": ("0", "1", "2", "1"),
    "refresh_leeway_lifetime": ("0s", "60s"),
    "lost_answer_lifetime": ("0s", "1h", "7d"),
    "access_token_lifetime": ("60s", "1h"),
    "participation_idle_lifetime": ("15m", "1h", "2d"),
    "participation_absolute_lifetime": ("1h", "1d", "20d"),
}
_FOR_CLIENTS = {
    "app_idle_lifetime",
    "app_absolute_lifetime",
    "app_sessions_per_client",
    "refresh_leeway_lifetime",
    "lost_answer_lifetime",
    "access_token_lifetime",
    "participation_idle_lifetime",
    "participation_absolute_lifetime",
}
_FOR_CLIENTS_ONLY = {"access_token_lifetime", "participation_idle_lifetime", "participation_absolute_lifetime"}
_ORDERED = (
    ("browser_idle_lifetime", "browser_absolute_lifetime"),
    ("keep_signed_in_idle_lifetime", "browser_absolute_lifetime"),
    ("app_idle_lifetime", "app_absolute_lifetime"),
    ("participation_idle_lifetime", "participation_absolute_lifetime"),
)


def read(text: str) -> Any:
    """`28d` → a length of time, `on` → a flag, `50` → a number."""
    if text in {"on", "off"}:
        return text == "on"
    match = re.fullmatch(r"(\d+)([smhd]?)", text)
    assert match is not None, text
    number, unit = int(match.group(1)), match.group(2)
    return timedelta(seconds=number * _UNITS[unit]) if unit else number


class Decisions:
    """Values decided for the installation (`None`) and for applications, and the "sign in again" moments."""

    def __init__(self) -> None:
        self.decided: dict[tuple[str, Application | None], Any] = {}
        self.everyone_since: datetime | None = None
        self.client_since: dict[Application, datetime] = {}

    def value(self, name: str, application: "Application | None" = None) -> Any:
        """What is in force; None where nothing limits."""
        if application is not None and (name, application) in self.decided:
            return self.decided[name, application]
        return self.decided.get((name, None), read(DEFAULTS[name]) if name in DEFAULTS else None)

    def decide(self, name: str, text: str | None, application: "Application | None") -> bool:
        """Set a value, or unset it (None); False, and nothing changes, when that must be refused."""
        if (name not in _FOR_CLIENTS) if application is not None else (name in _FOR_CLIENTS_ONLY):
            return False
        before = dict(self.decided)
        if text is None:
            self.decided.pop((name, application), None)
        else:
            self.decided[name, application] = read(text)
        is_longer = name == "access_token_lifetime" and self.value(name, application) > self.value(name)
        pairs = [(self.value(shorter, application), self.value(longer, application)) for shorter, longer in _ORDERED]
        if is_longer or any(None not in pair and pair[0] > pair[1] for pair in pairs):
            self.decided = before
            return False
        return True

    def takes(self, application: "Application", auth_time: datetime) -> bool:
        """Whether a sign-in of that moment is new enough for the application."""
        since = self.client_since.get(application)
        return since is None or auth_time >= since
