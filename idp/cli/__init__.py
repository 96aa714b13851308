"""The command `idp`: everything an operator does from a shell (design §8).

Owns arguments, output (`--json` for scripts) and exit statuses: 0 only when it was done, else one sentence on standard
error that says what to do next. Holds no rule: each command opens one transaction and calls one room. Serves and
supervises the server, worker and demo as child processes.
"""

from idp.cli.main import main

__all__ = ["main"]
