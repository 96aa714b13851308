"""Steps of people who do not know a password, and of those who change theirs: one budget over all paths (I14)."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stateful.around import OTHER_PASSWORD
from tests.stateful.model import Person, Window
from tests.stateful.play import Play, nodes, people, windows
from tests.stateful.surface import SESSION_COOKIE
from tests.support.pages import PASSWORD

WRONG = "not the password at all"


class Guessing(Play):
    """Guesses at the sign-in page and at the page that changes a password, on both nodes."""

    @rule(person=people, times=st.integers(1, 3), by_mail=st.booleans(), node=nodes)
    def guess(self, person: Person, times: int, by_mail: bool, node: int) -> None:
        """Each from another address, by either name: none of it gives another budget."""
        name = f"{person.name.upper()}@example.com" if by_mail else person.name
        for number in range(times):
            here = self.at((node + number) % 2)
            window = here.window()
            page = here.follow(window.visitor, here.look(window, "/login")).page
            assert page is not None
            may_guess = person.guess(self.now)
            form = page.form("/login")
            went = here.submit(window, form, button="login-submit", username=name, password=WRONG)
            assert went.response.status_code == (403 if may_guess else 429)
            if may_guess:
                self.world.note("sign_in_refused", person)

    @rule(window=windows, is_right=st.booleans(), keep_apps=st.booleans(), node=nodes)
    def change_password(self, window: Window, is_right: bool, keep_apps: bool, node: int) -> None:
        token, place = self.open_account(window, node), window.place
        if token is None or place is None:
            return
        person = place.owner
        new = OTHER_PASSWORD if person.password == PASSWORD else PASSWORD
        fields = {"current_password": person.password if is_right else WRONG, "new_password": new, "new_again": new}
        may_guess = person.guess(self.now)

        answer = self.installation.forge(
            window, "/account/password", token, **fields, **({"keep_apps": "yes"} if keep_apps else {})
        )

        assert answer.status_code == ((303 if is_right else 403) if may_guess else 429)
        if may_guess and not is_right:
            self.world.note("sign_in_refused", person)
        if not may_guess or not is_right:
            return
        person.password = new
        person.proved()
        self.world.note("password_set", person)
        self.world.end_all(person, self.now, keep=place, keep_apps=keep_apps)
        handle = window.visitor.cookie(SESSION_COOKIE)
        assert handle is not None
        place.handles = dict.fromkeys(place.handles, self.now)  # a copy of the cookie dies at once
        place.handles[handle] = None
        window.forms_since += 1
