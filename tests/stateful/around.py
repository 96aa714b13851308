"""Steps of operators in a shell, of the worker, of time, and of nodes and receivers that come and go."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from idp.db.models import DeliveryState, LogoutDelivery
from tests.stateful.model import GIVES_UP_AFTER, Family, Person
from tests.stateful.play import Play, families, nodes, people, which_application
from tests.support.pages import PASSWORD

OTHER_PASSWORD = "another horse battery staple"

steps = st.sampled_from([0.4, 1, 9, 11, 11, 61, 302, 3_700, 86_500, 1_300_000, 2_500_000, 2_700_000])


class Around(Play):
    """What happens around people and applications."""

    @rule(person=people, family=st.none() | families)
    def administrator_ends(self, person: Person, family: Family | None) -> None:
        here = self.installation
        if family is None:
            here.idp("sessions", "end", "--user", person.name, "--all")
            self.world.end_all(person, self.now)
            return
        place = family.place
        may_end = place.owner is person and not place.ended
        here.idp("sessions", "end", "--user", person.name, "--session", place.id, must_refuse=not may_end)
        if may_end:
            self.world.end(place, self.now)

    @rule(person=people, is_disabled=st.booleans())
    def disable_or_enable(self, person: Person, is_disabled: bool) -> None:
        self.installation.idp("users", "disable" if is_disabled else "enable", person.name)
        if person.disabled != is_disabled:
            self.world.note("user_disabled" if is_disabled else "user_enabled", person)
        person.disabled = is_disabled
        if is_disabled:
            self.world.end_all(person, self.now)

    @rule(person=people, keep=st.booleans())
    def set_password(self, person: Person, keep: bool) -> None:
        person.password = OTHER_PASSWORD if person.password == PASSWORD else PASSWORD
        options = ["--keep-sessions"] if keep else []
        given = person.password
        self.installation.idp("users", "set-password", person.name, "--password-stdin", *options, given=given)
        person.epoch += 1
        self.world.note("password_set", person)
        if not keep:
            self.world.end_all(person, self.now)

    @rule(which=which_application, is_disabled=st.sampled_from([True, False, False]))
    def disable_or_enable_an_application(self, which: int, is_disabled: bool) -> None:
        application = self.applications[which]
        self.installation.idp("clients", "disable" if is_disabled else "enable", application.rp.id)
        if application.disabled != is_disabled:
            self.world.note("client_disabled" if is_disabled else "client_enabled")
            application.epoch += is_disabled  # codes from before are worth nothing, however soon it is enabled
        application.disabled = is_disabled
        if is_disabled:
            for person in self.world.people:
                self.world.end_application(person, application, self.now)

    @rule(step=steps)
    def wait(self, step: float) -> None:
        self.installation.heart.clock.advance(seconds=step)

    @rule(seconds=st.sampled_from([5, 5, 65, 900]))
    def step_the_clock_back(self, seconds: int = 5) -> None:
        """By more than any lifetime of a code, too."""
        self.installation.heart.clock.advance(seconds=-seconds)

    @rule(node=nodes)
    def restart(self, node: int) -> None:
        self.installation.restart(node)

    @rule(node=nodes)
    def sweep(self, node: int) -> None:
        self.at(node).sweep()
        self.world.sweep(self.now)

    @rule(node=nodes)
    def purge(self, node: int) -> None:
        """What nothing needs any more goes; nobody may notice, except that an old code's second use is just refused."""
        self.see_who_was_given_up()
        self.at(node).purge()
        for code in self.world.codes:
            code.unsure = code.unsure or code.used
        for family in self.world.families:
            family.purged = family.purged or family.revoked or family.place.ended

    def see_who_was_given_up(self) -> None:
        rows = self.installation.heart.all(LogoutDelivery, LogoutDelivery.state == DeliveryState.GAVE_UP)
        for row in rows:
            assert self.now - self.world.due[row.sid][1] >= GIVES_UP_AFTER
        self.given_up |= {row.sid for row in rows}

    @rule(is_away=st.booleans())
    def the_receiver_changes(self, is_away: bool) -> None:
        self.installation.receiver.statuses = [503 if is_away else 200]

    @rule(node=nodes)
    def deliver(self, node: int) -> None:
        self.at(node).deliver()
