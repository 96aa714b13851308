"""What all steps share: the bundles that they draw from, the two sides (provider and model), and entering a window.

A step is a rule of Hypothesis; the rules are in `signing_in.py`, `using.py`, `ending.py` and `around.py`, by who plays
them. Each plays through the public surface and in the model, and compares the answers at once.
"""

from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple

from tests.stateful.model import Application, Window
from tests.stateful.surface import Installation
from tests.stateful.world import World
from tests.support.pages import PASSWORD

OFFLINE = "openid offline_access"

APPLICATIONS: dict[str, dict[str, bool]] = {
    "Wiki": {"is_told": True, "is_framed": True},
    "Board": {"is_told": False, "is_framed": True},
    "Tool": {"is_told": True, "is_native": True},
}

people = Bundle("people")
windows = Bundle("windows")
codes = Bundle("codes")
questions = Bundle("questions")
families = Bundle("families")
nodes = st.integers(0, 1)
which_application = st.integers(0, 2)


class Play(RuleBasedStateMachine):
    """One installation, two people, three applications, two nodes."""

    installation: Installation  # set by the test that runs the machine

    @initialize(target=people)
    def begin(self) -> Any:
        here = self.installation
        here.begin_anew()
        self.world = World()
        self.open_windows: list[Window] = []
        self.dead_handles: list[str] = []
        self.given_up: set[str] = set()
        self.refusal: Any = None
        self.turn = 0
        self.applications = [self.register(name) for name in APPLICATIONS]
        self.world.people = [here.person("ada", PASSWORD), here.person("bob", PASSWORD)]
        here.new_audit_rows()
        return multiple(*self.world.people)

    @property
    def now(self) -> datetime:
        return self.installation.heart.now

    def at(self, node: int) -> Installation:
        self.installation.node = node
        return self.installation

    def enter(self, window: Window) -> bool:
        """Open the account page: it comes exactly when the model says so. That is activity, whatever follows."""
        is_live = self.world.visit(window.place, self.now)
        response = self.installation.look(window, "/account/sessions")
        assert response.status_code == (200 if is_live else 303), (response.status_code, window.place)
        return is_live

    def open_account(self, window: Window, node: int) -> str | None:
        """The CSRF token of the account page; None, and sent to sign in, when nobody is signed in here."""
        here = self.at(node)
        if not self.enter(window):
            return None
        page = here.follow(window.visitor, here.look(window, "/account/sessions")).page
        assert page is not None
        return page.form("/logout").fields["csrf_token"]

    def register(self, name: str) -> Application:
        return self.installation.application(name, **APPLICATIONS[name])

    def another(self, application: Application) -> Application:
        """Another one that is registered now, also when this one is not any more."""
        return self.applications[(list(APPLICATIONS).index(application.name) + 1) % len(self.applications)]
