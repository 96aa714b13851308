"""Steps of people in their browsers: signing in, looking, allowing an application something, leaving pages open."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from tests.stateful.model import CODE, OLD_COOKIE, QUESTION, Application, Code, Person, Place, Question, Window
from tests.stateful.play import OFFLINE, Play, codes, nodes, people, questions, which_application, windows
from tests.stateful.surface import SESSION_COOKIE

ON_ONE_PAGE = 20  # the list comes in pages; longer ones are looked at in tests/sessions


class SigningIn(Play):
    """Signing in and authorizing."""

    @rule(target=windows, person=people, keep=st.booleans(), node=nodes)
    def sign_in(self, person: Person, keep: bool, node: int) -> Any:
        window = self.at(node).window()
        self.open_windows.append(window)
        self.sign_in_again(window, person, keep, node)
        return window

    @rule(window=windows, person=people, keep=st.booleans(), node=nodes)
    def sign_in_again(self, window: Window, person: Person, keep: bool, node: int) -> None:
        """In a browser where somebody may be signed in: the same person goes on, another takes over (design §6)."""
        here, previous = self.at(node), window.place
        was_live = self.enter(window)
        page = here.follow(window.visitor, here.look(window, "/login?switch=yes")).page
        assert page is not None
        form = page.form("/login")
        form.fields.pop("keep_signed_in", None)  # ticked already for whoever is kept signed in
        extra = {"keep_signed_in": "yes"} if keep else {}
        may_guess = person.guess(self.now)

        went = here.submit(window, form, button="login-submit", username=person.name, password=person.password, **extra)

        assert (went.page is not None) == (may_guess and not person.disabled), went.response.status_code
        if went.page is None:
            return
        person.proved()
        self.took_handle(window, person, keep, previous if was_live else None)

    def took_handle(self, window: Window, person: Person, keep: bool, previous: Place | None) -> None:
        handle = window.visitor.cookie(SESSION_COOKIE)
        assert handle is not None
        session_id = handle.partition(".")[0]
        window.forms_since += 1
        decisions = self.world.decisions
        kind = "kept" if keep and decisions.value("keep_signed_in") else "browser"
        if previous is not None and previous.owner is person:
            assert session_id == previous.id
            assert handle not in previous.handles
            for old, until in previous.handles.items():
                previous.handles[old] = self.now + OLD_COOKIE if until is None else min(until, self.now)
            previous.kind, previous.active_at, previous.auth_time = kind, self.now, self.now
            previous.notice_hint()
            previous.handles[handle] = None
            self.world.note("reauthenticated", person)
            return
        assert session_id not in {place.id for place in self.world.places}, "a session identifier came twice"
        if previous is not None:
            self.world.end(previous, self.now)
        self.world.note("sign_in", person)
        window.place = self.world.start(
            Place(kind, person, session_id, self.now, self.now, self.now, decisions, handles={handle: None})
        )

    @rule(window=windows)
    def look_at_the_list(self, window: Window) -> None:
        """The account page is there exactly for those who are signed in, and its list is the truth (lesson 18)."""
        self.at(1 - self.installation.node)
        place = window.place
        if not self.enter(window) or place is None:
            return
        text = self.installation.look(window, "/account/sessions").text
        listed = {part.partition('"')[0] for part in text.split('id="session-')[1:]}
        live = {other.id for other in self.world.of(place.owner) if other.is_live(self.now)}
        assert listed == live or (len(live) > ON_ONE_PAGE and listed < live)

    @rule(
        target=codes,
        window=windows,
        which=which_application,
        offline=st.booleans(),
        prompt=st.sampled_from([None, None, "none", "consent"]),
        allow=st.sampled_from([True, True, True, False]),
        node=nodes,
    )
    def authorize(self, window: Window, which: int, offline: bool, prompt: str | None, allow: bool, node: int) -> Any:
        here, application = self.at(node), self.applications[which]
        scope = OFFLINE if offline else "openid"
        is_live = self.enter(window)

        went = here.authorize(window, application, scope, prompt)

        if application.disabled:
            assert not went.fields
            assert went.response.status_code == 400
            return multiple()
        if not is_live or window.place is None or not self.is_new_enough(window.place, application):
            self.sent_to_sign_in(went, prompt)
            return multiple()
        if self.is_asked(window.place.owner, application, scope, prompt):
            if prompt == "none":
                assert went.fields["error"] in {"consent_required", "interaction_required"}
                return multiple()
            assert went.page is not None
            assert "consent-allow" in went.page.ids
            form = went.page.form("/consent")
            went = here.submit(window, form, button=f"consent-{'allow' if allow else 'deny'}")
            if not allow:
                assert went.fields["error"] == "access_denied"
                return multiple()
            self.allowed(window.place.owner, application, set(scope.split()))
        return self.took_code(went.fields["code"], window.place, application, scope)

    @rule(target=questions, window=windows, which=which_application, offline=st.booleans(), node=nodes)
    def leave_a_question_open(self, window: Window, which: int, offline: bool, node: int) -> Any:
        """A consent page in a tab that nobody answers yet: anything may happen before somebody does."""
        here, application = self.at(node), self.applications[which]
        scope = OFFLINE if offline else "openid"
        is_live = self.enter(window)
        went = here.authorize(window, application, scope, "consent")
        if application.disabled or not is_live or window.place is None:
            return multiple()
        if not self.is_new_enough(window.place, application):
            self.sent_to_sign_in(went, None)
            return multiple()
        assert went.page is not None
        place = window.place
        question = Question(
            window,
            place,
            application,
            set(scope.split()),
            place.owner.epoch,
            window.forms_since,
            self.now + QUESTION,
            went.page.form("/consent"),
            window.visitor.at,
        )
        self.world.questions.append(question)
        return question

    @rule(target=codes, question=questions, allow=st.booleans(), is_renewed=st.booleans(), node=nodes)
    def answer_the_question(self, question: Question, allow: bool, is_renewed: bool, node: int) -> Any:
        """It counts once, in its browser, for the person, the sign-in and the epoch that it was shown to (I8, I9).

        `is_renewed`: the form carries today's CSRF token, so that all else about it must be what refuses it.
        """
        here, window, place = self.at(node), question.window, question.place
        token = self.open_account(window, node)
        renewed = {"csrf_token": token} if is_renewed and token is not None else {}
        counts = (
            not question.answered
            and question.expires_at > self.now
            and (question.forms_since == window.forms_since or bool(renewed))
            and not question.application.disabled
            and window.place is place
            and place.is_live(self.now)
            and place.owner.epoch == question.epoch
            and self.is_new_enough(place, question.application)
        )
        button = f"consent-{'allow' if allow else 'deny'}"

        went = here.submit(window, question.form, at=question.at, button=button, **renewed)

        assert ("code" in went.fields) == (counts and allow), (went.response.status_code, went.fields)
        assert (went.fields.get("error") == "access_denied") == (counts and not allow)
        if not counts:
            return multiple()
        question.answered = True
        if not allow:
            return multiple()
        self.allowed(place.owner, question.application, question.scope)
        return self.took_code(went.fields["code"], place, question.application, " ".join(question.scope))

    def is_asked(self, person: Person, application: Application, scope: str, prompt: str | None) -> bool:
        covers = set(scope.split()) <= person.consents.get(application, set())
        return application.is_native or prompt == "consent" or not covers

    def sent_to_sign_in(self, went: Any, prompt: str | None) -> None:
        if prompt == "none":
            assert went.fields["error"] == "login_required"
        else:
            assert went.page is not None
            assert "login-submit" in went.page.ids

    def took_code(self, text: str, place: Place, application: Application, scope: str) -> Code:
        code = Code(
            text,
            place,
            application,
            set(scope.split()),
            place.owner.epoch,
            application.epoch,
            place.auth_time,
            self.now + CODE,
        )
        self.world.codes.append(code)
        return code

    def allowed(self, person: Person, application: Application, scope: set[str]) -> None:
        person.consents.setdefault(application, set()).update(scope)
        self.world.note("consent_given", person)

    def is_new_enough(self, place: Place, application: Application) -> bool:
        """Whether the application takes this sign-in, or an operator asked for a newer one."""
        return self.world.decisions.takes(application, place.auth_time)
