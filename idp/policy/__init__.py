"""Policy at run time: what an operator may decide while everything runs, for the installation and for one client.

Owns the table of what can be decided (`knobs`), the values in force, and how a statement reads them. Refuses to decide
what follows from a value: that is `idp.sessions` and `idp.tokens`. Settings remain the defaults (docs/adr/0010).
"""

from idp.policy.change import Changed, PolicyProblem, ask_for_sign_in, find_revision, set_value, unset_value
from idp.policy.in_force import PolicyState, Row, list_in_force, read_in_force
from idp.policy.in_statement import DECIDED, SIGN_IN_AGAIN_SINCE, value_in_force
from idp.policy.knobs import KNOBS, Knob, find_knob, spell, to_integer

__all__ = [
    "DECIDED",
    "KNOBS",
    "SIGN_IN_AGAIN_SINCE",
    "Changed",
    "Knob",
    "PolicyProblem",
    "PolicyState",
    "Row",
    "ask_for_sign_in",
    "find_knob",
    "find_revision",
    "list_in_force",
    "read_in_force",
    "set_value",
    "spell",
    "to_integer",
    "unset_value",
    "value_in_force",
]
