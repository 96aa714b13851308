"""`python -m idp.cli` is the command `idp`; the supervisor starts its children so."""

from idp.cli.main import main

main()
