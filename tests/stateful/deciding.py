"""Steps of operators who decide how long sign-ins live, while everything runs (docs/adr/0010)."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stateful.decisions import CHOICES
from tests.stateful.model import Person
from tests.stateful.play import Play, people, which_application

decisions = st.sampled_from([(name, text) for name, texts in CHOICES.items() for text in (*texts, None)])
agos = st.sampled_from([timedelta(0), timedelta(0), timedelta(minutes=1), timedelta(days=2)])


class Deciding(Play):
    """`idp policy set | unset | sign-in-again`: it counts at once, on both nodes, for what exists too."""

    @rule(decision=decisions, which=st.none() | which_application)
    def decide(self, decision: tuple[str, str | None], which: int | None) -> None:
        name, text = decision
        application = None if which is None else self.applications[which]
        whose = () if application is None else ("--client", application.rp.id)
        is_done = self.world.decisions.decide(name, text, application)
        arguments = ("unset", name) if text is None else ("set", name, text)
        self.installation.idp("policy", *arguments, *whose, must_refuse=not is_done)
        if is_done:
            self.world.note("policy_changed")

    @rule(person=people, ago=agos)
    def ask_a_person_to_sign_in_again(self, person: Person, ago: timedelta) -> None:
        since = self.now - ago
        self.installation.idp("policy", "sign-in-again", "--user", person.name, "--since", since.isoformat())
        self.world.end_these([place for place in self.world.of(person) if place.auth_time < since], [], self.now)

    @rule(which=which_application, ago=agos)
    def ask_the_people_of_an_application_to_sign_in_again(self, which: int, ago: timedelta) -> None:
        application, since = self.applications[which], self.now - ago
        self.installation.idp("policy", "sign-in-again", "--client", application.rp.id, "--since", since.isoformat())
        if self.world.ask_for_sign_in(application, since, self.now):
            self.world.note("sign_in_again")

    @rule(ago=agos)
    def ask_everyone_to_sign_in_again(self, ago: timedelta) -> None:
        """Nothing is written down yet: a sweep does that, and all checks know already."""
        since, decisions = self.now - ago, self.world.decisions
        self.installation.idp("policy", "sign-in-again", "--everyone", "--since", since.isoformat())
        if decisions.everyone_since is None or decisions.everyone_since < since:
            decisions.everyone_since = since
            self.world.note("sign_in_again")
