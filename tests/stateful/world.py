"""Everything that the model knows: who is signed in where, what each kind of end takes along, and the audit trail."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from tests.stateful.decisions import Decisions
from tests.stateful.model import PAGE_TOUCH, Application, Code, Family, Person, Place, Question


class World:
    """Everything that the model knows, and what each kind of end takes along (design §6)."""

    def __init__(self) -> None:
        self.people: list[Person] = []
        self.places: list[Place] = []
        self.families: list[Family] = []
        self.codes: list[Code] = []
        self.questions: list[Question] = []
        self.decisions = Decisions()
        self.subs: dict[str, Person] = {}  # as applications were told them
        self.owners: dict[str, Person] = {}  # of each `sid` that was ever handed out
        self.due: dict[str, tuple[str, datetime]] = {}  # `sid` that must be told → its client, and when it ended
        self.trail: Counter[tuple[str, str]] = Counter()  # audit rows since somebody looked: kind, and whose account
        self.perhaps: Counter[tuple[str, str]] = Counter()  # rows that may be there

    def note(self, kind: str, person: Person | None = None, *, is_sure: bool = True) -> None:
        """A commit that matters for security: it leaves one audit row (I18)."""
        (self.trail if is_sure else self.perhaps)[kind, person.name if person else ""] += 1

    def start(self, place: Place) -> Place:
        self.places.append(place)
        return place

    def end(self, place: Place, now: datetime, *, tell: bool = True) -> None:
        """One sign-in is over, with everything that hangs on it."""
        self.end_these([place], [], now, tell=tell)

    def end_part(self, place: Place, application: Application, now: datetime) -> None:
        """One client's part in a sign-in is over; the sign-in goes on."""
        self.end_these([], [(place, application)], now)

    def end_these(
        self,
        places: Iterable[Place],
        parts: Iterable[tuple[Place, Application]],
        now: datetime,
        *,
        tell: bool = True,
        keep_codes: bool = False,
    ) -> None:
        """What one commit ends, of one person."""
        whole = [place for place in places if not place.ended]
        singly = [(place, application) for place, application in parts if not place.ended]
        if whole:
            self.note("sessions_ended", whole[0].owner)
        elif any(application in place.sids for place, application in singly):
            self.note("participation_ended", singly[0][0].owner)
        for place, application in singly:
            self._close_part(place, application, now, tell=tell, keep_codes=keep_codes)
        for place in whole:
            place.ended = True
            for application in list(place.sids):
                self._close_part(place, application, now, tell=tell)
            for family in place.families:
                family.revoked = True
            for code in self.codes:
                if code.place is place:
                    self._expire(code)

    def _close_part(
        self, place: Place, application: Application, now: datetime, *, tell: bool, keep_codes: bool = False
    ) -> None:
        sid = place.sids.pop(application, None)
        place.joined_at.pop(application, None)
        if sid is not None and tell and application.is_told:
            self.due[sid] = (application.rp.id, now)
        for family in place.families:
            if family.application is application:
                family.revoked = True
        for code in self.codes:
            if code.place is place and code.application is application and not keep_codes:
                self._expire(code)

    def join(self, place: Place, application: Application, sid: str, now: datetime) -> None:
        """An application takes part, under this `sid`; a part of its that time had ended is written down first."""
        if place.is_part_over(application, now):
            self.end_these([], [(place, application)], now, keep_codes=True)
        assert place.sids.setdefault(application, sid) == sid
        assert self.owners.setdefault(sid, place.owner) is place.owner
        place.joined_at.setdefault(application, now)

    def end_all(self, person: Person, now: datetime, *, keep: Place | None = None, keep_apps: bool = False) -> None:
        """Everything of a person, and all that is half-way."""
        person.epoch += 1
        self.end_these(
            [place for place in self.of(person) if place is not keep and not (keep_apps and place.kind == "app")],
            [],
            now,
        )

    def end_application(self, person: Person, application: Application, now: datetime) -> None:
        """What one client has of one person."""
        self._end_application(self.of(person), application, now)

    def _end_application(self, places: list[Place], application: Application, now: datetime) -> None:
        own = [place for place in places if place.application is application]
        self.end_these(own, [(place, application) for place in places if place not in own], now)

    def gave_itself_away(self, family: Family, now: datetime) -> None:
        """Reuse, or a token from the future: the client's part ends, an app as a whole."""
        if family.place.kind == "app":
            self.end(family.place, now)
        else:
            self.end_part(family.place, family.application, now)

    def revoke(self, family: Family, now: datetime) -> None:
        """By its own client, or a code used twice: exactly this family, and nobody is told (design §6)."""
        if family.revoked:
            return
        if family.place.kind == "app":
            self.end(family.place, now, tell=False)
        else:
            self.note("token_revoked", family.place.owner)
        family.revoked = True

    def make_room(self, person: Person, application: Application, now: datetime) -> None:
        """One more app wants to sign in: with too many already, those unused longest go out."""
        cap = self.decisions.value("app_sessions_per_client", application)
        live = [place for place in self.of(person) if place.application is application and place.is_live(now)]
        live.sort(
            key=lambda place: (max([place.active_at, *(family.used_at for family in place.families)]), place.id),
            reverse=True,
        )
        if cap:
            self.end_these(live[cap - 1 :], [], now)

    def ask_for_sign_in(self, application: Application, since: datetime, now: datetime) -> bool:
        """What rests on an older sign-in is over for one client; whether that was news."""
        before = self.decisions.client_since.get(application)
        if before is None or before < since:
            self.decisions.client_since[application] = since
        for person in self.people:
            rests = [
                place
                for place in self.of(person)
                if place.auth_time < since and (place.application is application or application in place.sids)
            ]
            self._end_application(rests, application, now)
        return before is None or before < since

    def restore(self, since: datetime, now: datetime) -> None:
        """A back-up of that moment was restored: whatever was live then may be so wrongly, and all that is half-way."""
        for code in self.codes:
            self._expire(code)
        for question in self.questions:
            question.expires_at = min(question.expires_at, now)
        for person in self.people:
            live = [place for place in self.of(person) if not place.ended and not place.is_expired(since)]
            person.epoch += bool(live)
            self.end_these(live, [], now)

    def sweep(self, now: datetime) -> None:
        """The ends that time brought are written down: one commit, and one row for each person and reason."""
        over: dict[tuple[Person, str], list[Place]] = {}
        for place in self.places:
            if place.ended:
                continue
            if place.kind == "kept" and not self.decisions.value("keep_signed_in"):
                place.kind = "browser"  # the privilege is taken for good
            place.notice_hint()
            if place.look_at > now:
                continue
            end, reason = place.computed_end(place.last_active())
            if end <= now:
                over.setdefault((place.owner, reason), []).append(place)
            else:
                place.look_at, place.active_at = end, place.last_active()
        for places in over.values():
            self.end_these(places, [], now)
        parts: dict[tuple[Person, str], list[tuple[Place, Application]]] = {}
        for place in self.places:
            for application in place.sids:
                part_end = place.part_end(application)
                if part_end is not None and part_end[0] <= now:
                    parts.setdefault((place.owner, part_end[1]), []).append((place, application))
        for those in parts.values():
            # A code from just before came from a fresh authorization: it makes a part anew.
            self.end_these([], those, now, keep_codes=True)

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
