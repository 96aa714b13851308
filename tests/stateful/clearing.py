"""Steps that end a selection or everything at once: what lies unused, one application, everybody, an account for good.

They are the ends that `ending.py` and `around.py` leave out, so that each reason an end can have is played. Who or what
is deleted comes again under the same name, as somebody else.
"""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import consumes, rule

from tests.stateful.deciding import agos
from tests.stateful.model import Family, Person, Place, Window
from tests.stateful.play import Play, families, nodes, people, which_application, windows
from tests.stateful.surface import SESSION_COOKIE
from tests.support.pages import PASSWORD


class Clearing(Play):
    """Ends of more than one sign-in, and ends of one application only."""

    @rule(window=windows, days=st.sampled_from([7, 30, 90]), node=nodes)
    def end_unused(self, window: Window, days: int, node: int) -> None:
        token, place = self.open_account(window, node), window.place
        if token is None or place is None:
            return
        unused = [other for other in self.world.of(place.owner) if other is not place and self.lies_unused(other, days)]
        answer = self.installation.forge(window, "/account/sessions/end-unused", token, days=days)
        assert answer.status_code == 303
        self.world.end_these(unused, [], self.now)

    def lies_unused(self, place: Place, days: int) -> bool:
        """What was over anyway ends by the sweep, for its own reason. A revoked family was used all the same."""
        used_at = max([place.active_at, *(family.used_at for family in place.families)])
        return place.is_live(self.now) and (self.now - used_at).total_seconds() >= days * 86_400

    @rule(window=windows, family=families, node=nodes)
    def end_an_application_in_one_place(self, window: Window, family: Family, node: int) -> None:
        token, target = self.open_account(window, node), family.place
        if token is None or window.place is None:
            return
        path = f"/account/sessions/{target.id}/end-application"
        answer = self.installation.forge(window, path, token, client_id=family.application.rp.id)
        assert answer.status_code == 303
        if target.owner is not window.place.owner or family.application.deleted:
            return
        if target.kind == "app":
            self.world.end(target, self.now)
        else:
            self.world.end_part(target, family.application, self.now)

    @rule(window=windows, which=which_application, node=nodes)
    def end_an_application_everywhere(self, window: Window, which: int, node: int) -> None:
        """What the person allowed it stays for the next time."""
        token, application = self.open_account(window, node), self.applications[which]
        if token is None or window.place is None:
            return
        answer = self.installation.forge(window, "/account/applications/end", token, client_id=application.rp.id)
        assert answer.status_code == 303
        self.world.end_application(window.place.owner, application, self.now)

    @rule(window=windows, everywhere=st.booleans(), node=nodes)
    def end_all_browsers(self, window: Window, everywhere: bool, node: int) -> None:
        """Everywhere, or everywhere else; apps and tools stay signed in."""
        if self.open_account(window, node) is None or window.place is None:
            return
        place, path = window.place, f"/account/sessions/end-{'everywhere' if everywhere else 'others'}"
        page = self.installation.follow(window.visitor, self.installation.look(window, f"{path}?keep_apps=yes")).page
        assert page is not None
        assert self.installation.submit(window, page.form(path)).page is not None
        handle = window.visitor.cookie(SESSION_COOKIE)
        assert (handle is None) == everywhere
        self.world.end_all(place.owner, self.now, keep=None if everywhere else place, keep_apps=True)
        window.forms_since += 1
        if handle is not None:
            place.handles = {
                **dict.fromkeys(place.handles, self.now),
                handle: None,
            }  # a copy of the cookie dies at once

    @rule(which=st.none() | which_application)
    def operator_ends_for_everybody(self, which: int | None) -> None:
        """All that began before this moment, or all that one application has."""
        application = None if which is None else self.applications[which]
        whose = ("--everybody",) if application is None else ("--client", application.rp.id)
        self.installation.idp("sessions", "end", *whose, "--yes")
        for person in self.world.people:
            if application is not None:
                self.world.end_application(person, application, self.now)
                continue
            begun = [one for one in self.world.of(person) if not one.ended and one.started_at < self.now]
            if begun:
                person.epoch += 1
                self.world.end_these(begun, [], self.now)

    @rule(ago=agos)
    def operator_restored_a_back_up(self, ago: timedelta) -> None:
        since = self.now - ago
        self.installation.idp("db", "restored", "--since", since.isoformat())
        self.world.note("database_restored")
        self.world.restore(since, self.now)

    @rule(target=people, person=consumes(people))
    def delete_a_person(self, person: Person) -> Any:
        """The name is free again; whoever takes it is somebody else (I15)."""
        here = self.installation
        here.idp("users", "delete", person.name)
        self.world.note("user_deleted", person)
        self.world.end_all(person, self.now)
        person.consents.clear()
        namesake = here.person(person.name, PASSWORD)
        self.world.note("user_created", namesake)
        self.world.people[self.world.people.index(person)] = namesake
        return namesake

    @rule(which=which_application)
    def delete_an_application(self, which: int) -> None:
        """For good: what it had is over, and what is registered next by its name is another one."""
        application = self.applications[which]
        self.installation.idp("clients", "delete", application.rp.id)
        if not application.disabled:
            self.world.note("client_disabled")
        self.world.note("client_deleted")
        application.disabled = application.deleted = True
        for person in self.world.people:
            self.world.end_application(person, application, self.now)
        self.applications[which] = self.register(application.name)
        self.world.note("client_created")
