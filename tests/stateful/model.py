"""What should be true: who is signed in where, which token is good, who must have been told. Written from the design.

Nothing here asks the provider or imports it. The machine plays a step on both, and then compares what each says. Times
are the hand clock's; lifetimes are those in force (`decisions.py`). What each kind of end takes along: `world.py`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.stateful.decisions import Decisions

CODE, QUESTION = timedelta(seconds=60), timedelta(hours=1)
PAGE_TOUCH, REFRESH_TOUCH = timedelta(minutes=1), timedelta(hours=1)
OLD_COOKIE = timedelta(seconds=30)
GIVES_UP_AFTER = timedelta(hours=24)
NEVER = datetime.max.replace(tzinfo=UTC)
GUESSES, GUESS_WINDOW = 4, timedelta(minutes=15)


@dataclass(eq=False)
class Person:
    """Somebody with an account. `epoch` counts whatever makes all that is half-way worthless (design §2.7)."""

    name: str
    password: str
    id: str = ""
    epoch: int = 0
    disabled: bool = False
    consents: dict["Application", set[str]] = field(default_factory=dict)
    guesses: int = 0
    guesses_since: datetime | None = None

    def guess(self, now: datetime) -> bool:
        """A secret is tried, on whatever path: whether it may be looked at at all (I14)."""
        if self.guesses_since is None or self.guesses_since <= now - GUESS_WINDOW:
            self.guesses, self.guesses_since = 0, now
        self.guesses, self.guesses_since = self.guesses + 1, min(self.guesses_since, now)
        return self.guesses <= GUESSES

    def is_barred(self, now: datetime) -> bool:
        """Whether one more guess would not be looked at."""
        since = self.guesses_since
        return since is not None and since > now - GUESS_WINDOW and self.guesses >= GUESSES

    def proved(self) -> None:
        """The right secret, and it led somewhere: the person starts afresh."""
        self.guesses, self.guesses_since = 0, None


@dataclass(eq=False)
class Application:
    """A client. `rp` speaks for it; `is_told`: it registered an address for notices, `is_framed`: one for browsers.

    `epoch` counts how often it was disabled: what was half-way then is worthless.
    """

    name: str
    rp: Any
    is_native: bool = False
    is_told: bool = True
    is_framed: bool = False
    disabled: bool = False
    deleted: bool = False
    epoch: int = 0


@dataclass(eq=False)
class Place:
    """A sign-in: a browser's, or one installed app's. `handles`: cookie values that it had, with their last moment.

    `look_at` is when a sweep looks at it next, which then writes down how long the families kept it alive.
    """

    kind: str
    owner: Person
    id: str
    started_at: datetime
    active_at: datetime
    auth_time: datetime
    decisions: Decisions
    application: Application | None = None
    parent: "Place | None" = None
    ended: bool = False
    handles: dict[str, datetime | None] = field(default_factory=dict)
    families: list["Family"] = field(default_factory=list)
    sids: dict[Application, str] = field(default_factory=dict)  # the live participations
    joined_at: dict[Application, datetime] = field(default_factory=dict)  # when each of them began
    look_at: datetime = NEVER

    def __post_init__(self) -> None:
        self.notice_hint()

    def notice_hint(self) -> None:
        """A sweep looks no later than the end that this sign-in has without its families."""
        self.look_at = min(self.look_at, self.computed_end(self.active_at)[0])

    def last_active(self) -> datetime:
        return max([self.active_at, *(family.used_at for family in self.families if not family.revoked)])

    def idle_lifetime(self) -> timedelta:
        names = {"app": "app_idle_lifetime", "browser": "browser_idle_lifetime"}
        is_kept = self.kind == "kept" and self.decisions.value("keep_signed_in")
        name = "keep_signed_in_idle_lifetime" if is_kept else names.get(self.kind, "browser_idle_lifetime")
        lifetime: timedelta = self.decisions.value(name, self.application)
        return lifetime

    def absolute_lifetime(self) -> timedelta:
        name = "app_absolute_lifetime" if self.kind == "app" else "browser_absolute_lifetime"
        lifetime: timedelta = self.decisions.value(name, self.application)
        return lifetime

    def computed_end(self, active_at: datetime) -> tuple[datetime, str]:
        """When time alone ends it by today's policy, and why."""
        idle, absolute = active_at + self.idle_lifetime(), self.started_at + self.absolute_lifetime()
        since = self.decisions.everyone_since
        if since is not None and self.auth_time < since <= min(idle, absolute):
            return since, "sign in again"
        return (absolute, "expired") if absolute <= idle else (idle, "idle")

    def part_end(self, application: Application) -> tuple[datetime, str] | None:
        """When time alone ends the part of an application that has lifetimes of its own; None: with the sign-in."""
        if self.kind == "app" or application not in self.sids:
            return None
        idle = self.decisions.value("participation_idle_lifetime", application)
        absolute = self.decisions.value("participation_absolute_lifetime", application)
        began, sid = self.joined_at[application], self.sids[application]
        used_at = max([began, *(family.used_at for family in self.families if family.sid == sid)])
        ends = [(began + absolute, "expired")] if absolute is not None else []
        ends += [(used_at + idle, "idle")] if idle is not None else []
        return min(ends, key=lambda end: end[0], default=None)

    def is_part_over(self, application: Application, now: datetime) -> bool:
        end = self.part_end(application)
        return end is not None and end[0] <= now

    def is_expired(self, now: datetime) -> bool:
        since = self.decisions.everyone_since
        is_old = since is not None and self.auth_time < since
        return is_old or self.computed_end(self.last_active())[0] <= now

    def is_live(self, now: datetime) -> bool:
        return not self.ended and not self.owner.disabled and not self.is_expired(now)


@dataclass(eq=False)
class Window:
    """One browser on somebody's desk; people sign in and out in it."""

    visitor: Any
    place: Place | None = None
    forms_since: int = 0  # how often its CSRF token was renewed: forms from before are worthless


@dataclass(eq=False)
class AccessToken:
    """One access token that went out."""

    text: str
    expires_at: datetime
    denied: bool = False


@dataclass(eq=False)
class Family:
    """All that came from one redemption. `texts`: its refresh tokens by generation, as the client received them."""

    place: Place
    application: Application
    sid: str
    sub: str
    auth_time: int
    auth_at: datetime
    scope: set[str]
    used_at: datetime
    texts: dict[int, str] = field(default_factory=dict)
    live: int = 1
    parent: int | None = None
    rotated_at: datetime | None = None
    revoked: bool = False
    access: list[AccessToken] = field(default_factory=list)
    id_token: str = ""
    seen: tuple[str, bool, bool] | None = None  # what the provider said of it last
    purged: bool = False  # over, and perhaps deleted: the provider may know it no more

    def is_live(self, now: datetime) -> bool:
        place, application = self.place, self.application
        if self.revoked or application.disabled or not place.decisions.takes(application, self.auth_at):
            return False
        return place.is_live(now) and not place.is_part_over(application, now)

    def expected_turn(self, presented: int, now: datetime) -> str:
        """What a genuine token of a live family gets (design §5)."""
        elapsed = None if self.rotated_at is None else max(now - self.rotated_at, timedelta(0))
        decisions = self.place.decisions
        is_fresh = elapsed is not None and elapsed <= decisions.value("refresh_leeway_lifetime", self.application)
        if presented == self.live:
            return "hold" if is_fresh else "rotate"
        if presented == self.parent and elapsed is not None:
            is_lost_answer = elapsed <= decisions.value("lost_answer_lifetime", self.application)
            if is_fresh or is_lost_answer:
                return "hold" if is_fresh else "skip"
        return "refuse and end"

    def took(self, turn: str, now: datetime) -> None:
        """The state after a refresh that was answered with tokens."""
        if turn == "rotate":
            self.parent, self.live, self.rotated_at = self.live, self.live + 1, now
        if turn == "skip":
            self.live, self.rotated_at = self.live + 1, now
        self.used_at = max(self.used_at, now)
        if now - self.place.active_at >= REFRESH_TOUCH:
            self.place.active_at = now


@dataclass(eq=False)
class Code:
    """An authorization code. `unsure`: something happened after which either answer is right."""

    text: str
    place: Place
    application: Application
    scope: set[str]
    epoch: int
    client_epoch: int
    auth_time: datetime
    expires_at: datetime
    used: bool = False
    unsure: bool = False
    family: Family | None = None


@dataclass(eq=False)
class Question:
    """A consent page that was opened and left open."""

    window: Window
    place: Place
    application: Application
    scope: set[str]
    epoch: int
    forms_since: int
    expires_at: datetime
    form: Any
    at: str
    answered: bool = False
