"""A stateful property test of the invariants (design §10): any order of what people, clients, thieves and time do.

The machine keeps a small model of who should be signed in and which token should be good, written from the design and
not from the code, and after every step asks the real rooms, on a real database and on two nodes, whether they agree.
"""

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from idp import sessions, tokens
from idp.db.models import Client, EndReason, LogoutDelivery, Session, SessionClient, User
from idp.kit.opaque import Secret
from idp.sessions import Actor, StartedSession
from idp.tokens import AccessTokenClaims, Issued
from idp.tokens.refresh_tokens import read_refresh_token, write_refresh_token
from tests.support.heart import REDIRECT, START, Heart

IDLE = {"browser": timedelta(hours=24), "kept": timedelta(days=28), "app": timedelta(days=30)}
ABSOLUTE = {"browser": timedelta(days=90), "kept": timedelta(days=90), "app": timedelta(days=365)}
LEEWAY, WINDOW = timedelta(seconds=10), timedelta(hours=24)


@dataclass(eq=False)
class Person:
    row: User
    epoch: int = 0
    disabled: bool = False


@dataclass(eq=False)
class Place:
    """A browser or an app in which somebody is signed in."""

    kind: str
    owner: Person
    session_id: str
    started_at: datetime
    active_at: datetime
    handle: Secret | None = None
    client: Client | None = None
    ended: bool = False
    families: list["Family"] = field(default_factory=list)

    def last_active(self) -> datetime:
        return max([self.active_at, *(family.used_at for family in self.families if not family.revoked)])

    def is_live(self, now: datetime) -> bool:
        return (
            not self.ended
            and not self.owner.disabled
            and self.last_active() + IDLE[self.kind] > now
            and self.started_at + ABSOLUTE[self.kind] > now
        )


@dataclass(eq=False)
class Family:
    place: Place
    client: Client
    first: Issued
    sid: str
    live: int = 1
    parent: int | None = None
    rotated_at: datetime | None = None
    used_at: datetime = START
    revoked: bool = False
    access: list[Issued] = field(default_factory=list)

    def is_live(self, now: datetime) -> bool:
        return not self.revoked and self.place.is_live(now)


@dataclass(eq=False)
class Code:
    text: Secret
    place: Place
    client: Client
    offline: bool
    epoch: int
    expires_at: datetime
    used: bool = False
    family: Family | None = None


class Machine(RuleBasedStateMachine):
    """One installation, two people, two clients, two nodes."""

    heart: Heart  # set by the test that runs the machine

    people = Bundle("people")
    browsers = Bundle("browsers")
    codes = Bundle("codes")
    families = Bundle("families")

    @initialize(target=people)
    def begin(self) -> Any:
        heart = self.heart
        self.nodes = [heart.database, heart.second_node]  # type: ignore[attr-defined]
        self.node = 0
        self.clients = [heart.client(backchannel_logout_uri="https://app.example/out"), heart.client()]
        self.places: list[Place] = []
        self.all_families: list[Family] = []
        self.untold: set[str] = set()  # `sid`s whose end tells nobody (design §6: /revoke, a code used twice)
        self.everybody = [Person(heart.person()), Person(heart.person())]
        return multiple(*self.everybody)

    # ── What people do ──

    @rule(target=browsers, person=people, keep=st.booleans())
    @precondition(lambda self: any(not person.disabled for person in self.everybody))
    def sign_in(self, person: Person, keep: bool) -> Any:
        if person.disabled:
            return multiple()
        started = self.heart.sign_in(person.row, keep_signed_in=keep)
        place = Place("kept" if keep else "browser", person, started.session_id, self.now, self.now, started.handle)
        self.places.append(place)
        return place

    @rule(target=codes, browser=browsers, which=st.integers(0, 1), offline=st.booleans())
    def approve(self, browser: Place, which: int, offline: bool) -> Any:
        client = self.clients[which]
        scope = "openid offline_access" if offline else "openid"
        with self.database.transaction() as tx:
            answer = tokens.issue_code(
                tx,
                request=tokens.CodeRequest(client.id, REDIRECT, True, tuple(scope.split()), [], {}, None, None),
                session_id=browser.session_id,
                expected_epoch=browser.owner.epoch,
                settings=self.heart.settings,
                now=self.now,
            )
        assert isinstance(answer, Secret) == browser.is_live(self.now)
        if not isinstance(answer, Secret):
            return multiple()
        return Code(answer, browser, client, offline, browser.owner.epoch, self.now + timedelta(seconds=60))

    @rule(browser=browsers, by_owner=st.booleans())
    def end_one(self, browser: Place, by_owner: bool) -> None:
        person = browser.owner if by_owner else next(p for p in self.everybody if p is not browser.owner)
        self.heart.end(person.row, browser.session_id, reason=EndReason.ENDED_BY_PERSON)
        if by_owner:
            self.over(browser)

    @rule(family=families)
    def end_the_place_of(self, family: Family) -> None:
        self.heart.end(family.place.owner.row, family.place.session_id)
        self.over(family.place)

    @rule(person=people, keep=st.none() | browsers)
    def end_everything(self, person: Person, keep: Place | None) -> None:
        kept = keep if keep is not None and keep.owner is person else None
        self.heart.end_everything(person.row, keep=kept.session_id if kept else None, database=self.database)
        person.epoch += 1
        for place in self.places:
            if place.owner is person and place is not kept:
                self.over(place)

    @rule(person=people, which=st.integers(0, 1))
    def withdraw_consent(self, person: Person, which: int) -> None:
        client = self.clients[which]
        with self.database.transaction() as tx:
            sessions.end_client_for_user(
                tx,
                user_id=person.row.id,
                client_id=client.id,
                reason=EndReason.CONSENT_WITHDRAWN,
                actor=Actor(),
                settings=self.heart.settings,
                now=self.now,
            )
        for place in self.places:
            if place.owner is person and place.client is client:
                self.over(place)
        for family in self.all_families:
            if family.place.owner is person and family.client is client:
                family.revoked = True
        self.withdrawn_codes(person, client)

    @rule(person=people)
    def disable(self, person: Person) -> None:
        self.heart.change(person.row, disabled_at=self.now)
        person.disabled = True

    @rule(person=people)
    def enable(self, person: Person) -> None:
        self.heart.change(person.row, disabled_at=None)
        person.disabled = False

    # ── What clients and thieves do ──

    @rule(target=families, person=people, which=st.integers(0, 1), offline=st.booleans(), lost=st.booleans())
    def sign_in_and_use(self, person: Person, which: int, offline: bool, lost: bool) -> Any:
        """The usual beginning in one step, so that most runs get further; the first answer may be lost."""
        if person.disabled:
            return multiple()
        browser = self.sign_in(person, True)
        code = self.approve(browser, which, offline)
        family = self.redeem(code, False)
        self.refresh(family, 0, False)
        if lost:
            self.heart.clock.advance(seconds=11)
            self.refresh(family, 1, False)
        return family

    @rule(target=families, code=codes, by_another=st.booleans())
    def redeem(self, code: Code, by_another: bool) -> Any:
        client = next(c for c in self.clients if c is not code.client) if by_another else code.client
        good = (
            not by_another
            and not code.used
            and code.expires_at > self.now
            and code.place.is_live(self.now)
            and code.place.owner.epoch == code.epoch
        )

        answer = self.heart.redeem(code.text, client, self.database)

        assert isinstance(answer, Issued) == good
        if not isinstance(answer, Issued):
            if not by_another and code.used and code.family is not None:  # used twice: what it gave is over
                self.silently_over(code.family)
            return multiple()
        code.used = True
        place = code.place
        if code.offline:
            assert answer.session_id is not None
            assert answer.session_id != place.session_id
            place = Place("app", place.owner, answer.session_id, self.now, self.now, client=client)
            self.places.append(place)
        assert answer.session_id == place.session_id
        assert answer.sid is not None
        family = Family(place, client, answer, answer.sid, used_at=self.now, access=[answer])
        place.families.append(family)
        self.all_families.append(family)
        code.family = family
        return family

    @rule(family=families, back=st.sampled_from([0, 0, 0, 1, 1, 2, 3, -1]), by_another=st.booleans())
    def refresh(self, family: Family, back: int, by_another: bool) -> None:
        presented = family.live - back
        if presented < 1:
            return
        client = next(c for c in self.clients if c is not family.client) if by_another else family.client
        elapsed = None if family.rotated_at is None else max(self.now - family.rotated_at, timedelta(0))
        was_live = family.is_live(self.now) and not by_another

        answer = self.heart.refresh(self.token(family, presented), client, database=self.database)

        expected = None
        if was_live:
            if presented == family.live:
                expected = "held" if elapsed is not None and elapsed <= LEEWAY else "rotated"
            elif presented == family.parent and elapsed is not None and elapsed <= LEEWAY:
                expected = "held"
            elif presented == family.parent and elapsed is not None and elapsed <= WINDOW:
                expected = "skipped"
        assert isinstance(answer, Issued) == (expected is not None), (expected, answer)
        if not isinstance(answer, Issued):
            if was_live:
                self.gave_itself_away(family)
            return
        if expected == "rotated":
            family.parent, family.live, family.rotated_at = family.live, family.live + 1, self.now
        if expected == "skipped":
            family.live, family.rotated_at = family.live + 1, self.now
        assert answer.refresh_token is not None
        read = read_refresh_token(answer.refresh_token.reveal(), self.heart.keyring)
        assert read is not None
        assert read.generation == family.live
        assert answer.sub == family.first.sub
        assert answer.auth_time == family.first.auth_time
        assert set(answer.scope) <= set(family.first.scope)
        assert answer.access_expires_at <= self.now + timedelta(minutes=5)
        family.used_at = max(family.used_at, self.now)
        family.access.append(answer)
        if self.now - family.place.active_at >= timedelta(hours=1):
            family.place.active_at = self.now

    @rule(family=families, back=st.integers(0, 2))
    def revoke(self, family: Family, back: int) -> None:
        generation = max(1, family.live - back)
        with self.database.transaction() as tx:
            tokens.revoke_refresh_token(
                tx,
                token=self.token(family, generation).reveal(),
                client_id=family.client.id,
                settings=self.heart.settings,
                keyring=self.heart.keyring,
                now=self.now,
            )
        self.silently_over(family)

    @rule(family=consumes(families))
    def forget(self, family: Family) -> None:
        """The client loses its file. Nothing changes, and the machine stops asking about it often."""

    # ── What time and operators do ──

    @rule(step=st.sampled_from([1, 9, 11, 11, 61, 3_700, 86_500, 1_300_000]))
    def wait(self, step: int) -> None:
        self.heart.clock.advance(seconds=step)

    @rule()
    def step_the_clock_back(self) -> None:
        self.heart.clock.advance(seconds=-5)

    @rule()
    def other_node(self) -> None:
        self.node = 1 - self.node

    @rule()
    def sweep(self) -> None:
        while self.heart.sweep():
            pass
        for place in self.places:
            if not place.ended and place.owner.disabled is False and not place.is_live(self.now):
                self.over(place)
            elif not place.ended and place.owner.disabled:
                enabled = dataclasses.replace(place.owner, disabled=False)
                if not dataclasses.replace(place, owner=enabled).is_live(self.now):
                    self.over(place)

    # ── What must hold after every step ──

    @invariant()
    def every_browser_is_signed_in_exactly_when_it_should_be(self) -> None:
        for place in self.known_places("browser", "kept"):
            assert place.handle is not None
            assert (self.heart.current(place.handle) is not None) == place.is_live(self.now), place

    @invariant()
    def every_token_is_good_exactly_when_it_should_be(self) -> None:
        for family in getattr(self, "all_families", []):
            last = family.access[-1]
            claims = AccessTokenClaims(
                last.jti,
                last.family_id,
                last.sub,
                last.client_id,
                (),
                last.scope,
                last.issued_at,
                last.access_expires_at,
            )
            with self.database.reading() as tx:
                access = tokens.check_access_token(tx, claims=claims, settings=self.heart.settings, now=self.now)
                live = tokens.check_refresh_token(
                    tx,
                    token=self.token(family, family.live).reveal(),
                    settings=self.heart.settings,
                    keyring=self.heart.keyring,
                    now=self.now,
                )
            assert (access is not None) == (live is not None) == family.is_live(self.now), family

    @invariant()
    def the_list_is_the_truth(self) -> None:
        for person in getattr(self, "everybody", []):
            with self.database.reading() as tx:
                page = sessions.list_devices(
                    tx,
                    user_id=person.row.id,
                    current_session_id=None,
                    now=self.now,
                    policy=self.heart.policy,
                    page_size=500,
                )
            listed = {row.session_id for row in [*page.browsers, *page.apps]}
            enabled = dataclasses.replace(person, disabled=False)
            expected = {
                place.session_id
                for place in self.places
                if place.owner is person and dataclasses.replace(place, owner=enabled).is_live(self.now)
            }
            assert listed == expected
            assert page.browser_count + page.app_count == len(expected)

    @invariant()
    def an_end_is_final_and_everybody_is_told_once(self) -> None:
        ids = [place.session_id for place in getattr(self, "places", [])]
        if not ids:
            return
        rows = {row.id: row for row in self.heart.all(Session, Session.id.in_(ids))}
        for place in self.places:
            assert (rows[place.session_id].ended_at is not None) == place.ended, place
        ended = self.heart.all(SessionClient, SessionClient.session_id.in_(ids), SessionClient.ended_at.is_not(None))
        told = [row.sid for row in self.heart.all(LogoutDelivery, LogoutDelivery.session_id.in_(ids))]
        assert len(told) == len(set(told))
        assert set(told) == {row.sid for row in ended} - self.untold

    # ── The model's own steps ──

    @property
    def now(self) -> datetime:
        return self.heart.now

    @property
    def database(self) -> Any:
        return self.nodes[self.node]

    def known_places(self, *kinds: str) -> list[Place]:
        return [place for place in getattr(self, "places", []) if place.kind in kinds]

    def token(self, family: Family, generation: int) -> Secret:
        assert family.first.refresh_token is not None
        read = read_refresh_token(family.first.refresh_token.reveal(), self.heart.keyring)
        assert read is not None
        return write_refresh_token(read.of_generation(generation), self.heart.keyring)

    def over(self, place: Place) -> None:
        place.ended = True
        for family in place.families:
            family.revoked = True

    def silently_over(self, family: Family) -> None:
        if family.place.kind == "app" and not family.place.ended and not family.revoked:
            self.untold.add(family.sid)
            self.over(family.place)
        family.revoked = True

    def gave_itself_away(self, family: Family) -> None:
        """Reuse, or a token from the future: the client's part in the session ends, an app as a whole."""
        if family.place.kind == "app":
            self.over(family.place)
        for other in family.place.families:
            if other.client is family.client:
                other.revoked = True
        self.expire_codes(family.place, family.client)

    def withdrawn_codes(self, person: Person, client: Client) -> None:
        for place in self.places:
            if place.owner is person:
                self.expire_codes(place, client)

    def expire_codes(self, place: Place, client: Client) -> None:
        for code in self.known_codes:
            if code.place is place and code.client is client and not code.used:
                code.expires_at = min(code.expires_at, self.now)

    @property
    def known_codes(self) -> list[Code]:
        return [value for value in self.names_to_values.values() if isinstance(value, Code)]


def test_the_invariants_hold_in_any_order_of_events(heart: Heart) -> None:
    heart.second_node = heart.open_database()  # type: ignore[attr-defined]
    Machine.heart = heart

    run_state_machine_as_test(
        Machine, settings=hypothesis_settings(max_examples=10, stateful_step_count=25, deadline=None)
    )


def test_a_started_session_is_what_the_machine_signs_in_with(heart: Heart) -> None:
    """The machine's own foundation: without this its first rule would prove nothing."""
    assert isinstance(heart.sign_in(heart.person()), StartedSession)
