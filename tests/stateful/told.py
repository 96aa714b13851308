"""`Told` plays steps one by one, for orders of events worth keeping: all invariants are asked for after every step."""

from typing import Any

from tests.stateful.machine import Machine
from tests.stateful.model import Person

WIKI, BOARD, TOOL = 0, 1, 2


class Told:
    """Plays steps one by one on a machine, and looks after each."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.begin()
        self.ada, self.bob = machine.world.people

    def __getattr__(self, name: str) -> Any:
        def step(*arguments: Any, **given: Any) -> Any:
            result = getattr(self.machine, name)(*arguments, **given)
            self.machine.every_token_is_good_exactly_when_it_should_be()
            self.machine.no_copy_of_a_cookie_outlives_its_sign_in()
            self.machine.nobody_is_told_of_what_did_not_end()
            self.machine.every_deed_left_exactly_one_audit_row()
            return result

        return step

    def connect_in_window(self, person: Person, which: int, *, offline: bool = False) -> tuple[Any, Any]:
        """Sign somebody in and give an application tokens."""
        window = self.sign_in(person, True, 0)
        return window, self.redeem(self.authorize(window, which, offline, None, True, 0), "rightly", 1)
