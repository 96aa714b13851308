"""What should be true: who is signed in where, which token is good, who must have been told. Written from the design.

Nothing here asks the provider or imports it. The machine plays a step on both, and then compares what each says. Times
are the hand clock's; lifetimes are the defaults of design §4 and §5.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

IDLE = {"browser": timedelta(hours=24), "kept": timedelta(days=28), "app": timedelta(days=30)}
ABSOLUTE = {"browser": timedelta(days=90), "kept": timedelta(days=90), "app": timedelta(days=365)}
LEEWAY, WINDOW = timedelta(seconds=10), timedelta(hours=24)
ACCESS, CODE, QUESTION = timedelta(minutes=5), timedelta(seconds=60), timedelta(hours=1)
PAGE_TOUCH, REFRESH_TOUCH = timedelta(minutes=1), timedelta(hours=1)
OLD_COOKIE = timedelta(seconds=30)
GIVES_UP_AFTER = timedelta(hours=24)


@dataclass(eq=False)
class Person:
    """Somebody with an account. `epoch` counts whatever makes all that is half-way worthless (design §2.7)."""

    name: str
    password: str
    epoch: int = 0
    disabled: bool = False
    consents: dict["Application", set[str]] = field(default_factory=dict)


@dataclass(eq=False)
class Application:
    """A client. `rp` speaks for it; `is_told`: it registered an address for notices."""

    name: str
    rp: Any
    is_native: bool = False
    is_told: bool = True
    disabled: bool = False


@dataclass(eq=False)
class Place:
    """A sign-in: a browser's, or one installed app's. `handles`: cookie values that it had, with their last moment."""

    kind: str
    owner: Person
    id: str
    started_at: datetime
    active_at: datetime
    application: Application | None = None
    parent: "Place | None" = None
    ended: bool = False
    handles: dict[str, datetime | None] = field(default_factory=dict)
    families: list["Family"] = field(default_factory=list)
    sids: dict[Application, str] = field(default_factory=dict)  # the live participations

    def last_active(self) -> datetime:
        return max([self.active_at, *(family.used_at for family in self.families if not family.revoked)])

    def is_expired(self, now: datetime) -> bool:
        return self.last_active() + IDLE[self.kind] <= now or self.started_at + ABSOLUTE[self.kind] <= now

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

    def is_live(self, now: datetime) -> bool:
        return not self.revoked and not self.application.disabled and self.place.is_live(now)

    def expected_turn(self, presented: int, now: datetime) -> str:
        """What a genuine token of a live family gets (design §5)."""
        elapsed = None if self.rotated_at is None else max(now - self.rotated_at, timedelta(0))
        is_fresh = elapsed is not None and elapsed <= LEEWAY
        if presented == self.live:
            return "hold" if is_fresh else "rotate"
        if presented == self.parent and elapsed is not None and elapsed <= WINDOW:
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


class World:
    """Everything that the model knows, and what each kind of end takes along (design §6)."""

    def __init__(self) -> None:
        self.people: list[Person] = []
        self.places: list[Place] = []
        self.families: list[Family] = []
        self.codes: list[Code] = []
        self.due: dict[str, tuple[str, datetime]] = {}  # `sid` that must be told → its client, and when it ended

    def start(self, place: Place) -> Place:
        self.places.append(place)
        return place

    def end(self, place: Place, now: datetime, *, tell: bool = True) -> None:
        """One sign-in is over, with everything that hangs on it."""
        if place.ended:
            return
        place.ended = True
        for application in list(place.sids):
            self.end_part(place, application, now, tell=tell)
        for family in place.families:
            family.revoked = True
        for code in self.codes:
            if code.place is place:
                self._expire(code)

    def end_part(self, place: Place, application: Application, now: datetime, *, tell: bool = True) -> None:
        """One client's part in a sign-in is over; the sign-in goes on."""
        sid = place.sids.pop(application, None)
        if sid is not None and tell and application.is_told:
            self.due[sid] = (application.rp.id, now)
        for family in place.families:
            if family.application is application:
                family.revoked = True
        for code in self.codes:
            if code.place is place and code.application is application:
                self._expire(code)

    def end_all(self, person: Person, now: datetime, *, keep: Place | None = None) -> None:
        """Everything of a person, and all that is half-way."""
        person.epoch += 1
        for place in self.of(person):
            if place is not keep:
                self.end(place, now)

    def end_application(self, person: Person, application: Application, now: datetime) -> None:
        """What one client has of one person."""
        for place in self.of(person):
            if place.application is application:
                self.end(place, now)
            elif not place.ended:
                self.end_part(place, application, now)

    def gave_itself_away(self, family: Family, now: datetime) -> None:
        """Reuse, or a token from the future: the client's part ends, an app as a whole."""
        if family.place.kind == "app":
            self.end(family.place, now)
        else:
            self.end_part(family.place, family.application, now)

    def revoke(self, family: Family, now: datetime) -> None:
        """By its own client, or a code used twice: exactly this family, and nobody is told (design §6)."""
        if family.place.kind == "app" and not family.revoked:
            self.end(family.place, now, tell=False)
        family.revoked = True

    def sweep(self, now: datetime) -> None:
        """The ends that time brought are written down."""
        for place in self.places:
            if not place.ended and place.is_expired(now):
                self.end(place, now)

    def visit(self, place: Place | None, now: datetime) -> bool:
        """A page was opened in this sign-in, which counts as activity. Returns whether it is live."""
        if place is None or not place.is_live(now):
            return False
        if now - place.active_at >= PAGE_TOUCH:
            place.active_at = now
        return True

    def of(self, person: Person) -> list[Place]:
        return [place for place in self.places if place.owner is person]

    def live_sids(self, now: datetime) -> set[str]:
        return {sid for place in self.places if place.is_live(now) for sid in place.sids.values()}

    @staticmethod
    def _expire(code: Code) -> None:
        if not code.used:
            code.expires_at = datetime.min.replace(tzinfo=code.expires_at.tzinfo)
