"""`Shell`: the real entry of the command `idp`, in this process, with an environment of its own."""

import json
from typing import Any

from click.testing import CliRunner, Result

from idp.cli import main

SECRET = "a secret for tests only, long enough to be taken"
PASSWORD = "correct horse battery"


class Shell:
    """Runs `idp …` with an environment of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def run(self, *arguments: str, given: str | bytes = "", **more: str) -> Result:
        return CliRunner().invoke(main, list(arguments), input=given, env={**self.environment, **more})

    def json(self, *arguments: str, given: str = "") -> Any:
        result = self.run(*arguments, "--json", given=given)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def refusal(self, *arguments: str, given: str | bytes = "", **more: str) -> str:
        """The sentence of a command that must fail; fails on a traceback."""
        result = self.run(*arguments, given=given, **more)
        assert result.exit_code == 1, (result.exit_code, result.output)
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.stdout == ""
        return str(result.stderr)
