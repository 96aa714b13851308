"""Steps that end something: on the account page, by an application's request, by taking a consent back."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stateful.model import Family, Place, Window
from tests.stateful.play import Play, families, nodes, which_application, windows
from tests.stateful.surface import AFTER, SESSION_COOKIE


class Ending(Play):
    """Every way of ending that a person has."""

    @rule(window=windows, family=families, node=nodes)
    def end_a_row(self, window: Window, family: Family, node: int) -> None:
        """Sign out one browser or app on the account page; somebody else's stays (I13)."""
        token = self.open_account(window, node)
        place = window.place
        if token is None or place is None:
            return
        target = family.place
        answer = self.installation.forge(window, f"/account/sessions/{target.id}/end", token)
        assert answer.status_code == 303
        if target.owner is place.owner and target is not place:
            self.world.end(target, self.now)

    @rule(window=windows, other=windows, node=nodes)
    def end_another_browser(self, window: Window, other: Window, node: int) -> None:
        token = self.open_account(window, node)
        if token is None or window.place is None or other.place is None:
            return
        answer = self.installation.forge(window, f"/account/sessions/{other.place.id}/end", token)
        assert answer.status_code == 303
        if other.place.owner is window.place.owner and other.place is not window.place:
            self.world.end(other.place, self.now)

    @rule(window=windows, chosen=st.lists(families, max_size=3, unique=True), node=nodes, with_tools=st.booleans())
    def end_selected(self, window: Window, chosen: list[Family], node: int, with_tools: bool = False) -> None:
        """Ticked rows, perhaps with what they approved. What time ended is left to the sweep, and its own reason."""
        token = self.open_account(window, node)
        place = window.place
        if token is None or place is None:
            return
        targets = {family.place for family in chosen}
        ids = [target.id for target in targets]
        fields = {"session": ids, **({"with_tools": "yes"} if with_tools else {})}
        assert self.installation.forge(window, "/account/sessions/end-selected", token, **fields).status_code == 303
        if with_tools:
            targets |= {one for one in self.world.places if one.parent in targets}
        theirs = [target for target in targets if target.owner is place.owner and target is not place]
        self.world.end_these([target for target in theirs if target.is_live(self.now)], [], self.now)

    @rule(window=windows, node=nodes)
    def end_everything_else(self, window: Window, node: int) -> None:
        if self.open_account(window, node) is None or window.place is None:
            return
        place = window.place
        went = self.installation.submit(window, self.question_form(window, "/account/sessions/end-others"))
        assert went.page is not None
        handle = window.visitor.cookie(SESSION_COOKIE)
        assert handle is not None
        self.world.end_all(place.owner, self.now, keep=place)
        place.handles = dict.fromkeys(place.handles, self.now)  # a copy of the cookie dies at once
        place.handles[handle] = None
        window.forms_since += 1

    @rule(window=windows, node=nodes)
    def end_everything(self, window: Window, node: int) -> None:
        if self.open_account(window, node) is None or window.place is None:
            return
        expected = self.frames_of(window.place)
        went = self.installation.submit(window, self.question_form(window, "/account/sessions/end-everywhere"))
        assert went.page is not None
        assert self.installation.frames(went.response.text) == expected
        assert window.visitor.cookie(SESSION_COOKIE) is None
        self.world.end_all(window.place.owner, self.now)
        window.forms_since += 1

    @rule(window=windows, node=nodes)
    def sign_out(self, window: Window, node: int) -> None:
        token = self.open_account(window, node)
        if token is None or window.place is None:
            return
        answer = self.installation.forge(window, "/logout", token)
        self.asks_applications(window, answer, window.place)
        self.world.end(window.place, self.now)
        window.forms_since += 1

    @rule(window=windows, family=families, confirm=st.booleans(), node=nodes)
    def sign_out_by_an_application(self, window: Window, family: Family, confirm: bool, node: int) -> None:
        """RP-initiated logout, with a hint that may be of any browser, person or app (design §7)."""
        here, place, target = self.at(node), window.place, family.place
        is_live = self.enter(window)
        address = here.logout_address(id_token_hint=family.id_token, post_logout_redirect_uri=AFTER)

        answer = here.look(window, address)

        assert answer.status_code == 303
        if not is_live or place is None:  # nothing is left to end, and nothing to ask
            assert "/logout?" not in answer.location
            window.forms_since += 1
            return
        is_asked = family.application.disabled or target is not place
        assert ("/logout?" in answer.location) == is_asked
        if not is_asked:
            if self.frames_of(place):
                self.asks_applications(window, answer, place)
            else:
                assert answer.location == AFTER
            self.world.end(place, self.now)
            window.forms_since += 1
            return
        if not family.application.disabled and target.parent is place:
            self.world.end(target, self.now)
        if confirm:
            page = here.follow(window.visitor, here.look(window, answer.location)).page
            assert page is not None
            here.submit(window, page.form("/logout"), button="logout-confirm")
            self.world.end(place, self.now)
            window.forms_since += 1

    @rule(window=windows, which=which_application, node=nodes)
    def withdraw(self, window: Window, which: int, node: int) -> None:
        token, application = self.open_account(window, node), self.applications[which]
        if token is None or window.place is None:
            return
        person = window.place.owner
        answer = self.installation.forge(window, "/account/applications/withdraw", token, client_id=application.rp.id)
        assert answer.status_code == 303
        if person.consents.pop(application, None) is not None:
            self.world.note("consent_withdrawn", person)
            self.world.end_application(person, application, self.now)

    def asks_applications(self, window: Window, answer: Any, place: Place) -> None:
        """The receipt asks whoever took part here (Front-Channel Logout), and in this browser only."""
        assert answer.status_code == 303
        assert "/signed-out/" in answer.location
        here, elsewhere = self.installation, self.installation.window()
        assert here.frames(here.look(window, answer.location).text) == self.frames_of(place)
        assert here.frames(here.look(elsewhere, answer.location).text) == set()

    def frames_of(self, place: Place) -> set[tuple[str, str]]:
        return {(application.name, sid) for application, sid in place.sids.items() if application.is_framed}

    def question_form(self, window: Window, path: str) -> Any:
        here = self.installation
        page = here.follow(window.visitor, here.look(window, path)).page
        assert page is not None
        return page.form(path)
