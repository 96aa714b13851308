"""The yardstick of the database: the very UPDATE of a refresh, sent by pgbench.

The statement is caught on its way out of the provider's own rule, so that it cannot differ; only the family, the
moment and the presented generation are made by pgbench's script instead of being parameters.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event

from benchmarks.population import Population, identifier
from benchmarks.postgres import NotPossible, Postgres
from benchmarks.processes import cpu_seconds
from benchmarks.world import World
from idp.tokens import Issued, refresh

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(frozen=True)
class SameUpdate:
    """A script for pgbench, and where it runs."""

    database: Postgres
    script: Path

    def cpu_microseconds(self, *, clients: int, option: str) -> float:
        """Processor time of the database per UPDATE; `option` says how often it is sent, or for how long."""
        before = cpu_seconds(self.database.process.pid)
        done = self.run(f"--client={clients}", option)
        return (cpu_seconds(self.database.process.pid) - before) / done * 1e6

    def run(self, *options: str) -> int:
        """Let pgbench send it, with options of its that say how often; how often it did."""
        command = [str(self.database.binaries / "pgbench"), "--no-vacuum", "--protocol=prepared", "--username=bench"]
        command += [f"--host={self.database.folder}", *options]
        answer = subprocess.run(
            [*command, f"--file={self.script}", "bench"], capture_output=True, text=True, check=False
        )
        found = re.search(r"transactions actually processed: (\d+)", answer.stdout)
        if found is None or answer.returncode or found.group(1) == "0":
            raise NotPossible(f"pgbench failed: {answer.stderr}")
        return int(found.group(1))


def same_update(database: Postgres, world: World, folder: Path, *, families: int = 4000) -> SameUpdate:
    """Prepare it on people of its own."""
    client = world.clients["rotating"]
    people = world.population.people(world.size(families))
    world.population.apps(people, client.id)
    statement, parameters = _caught(world, world.population, people[:1], client.id)

    def spelled(match: re.Match[str]) -> str:
        return _made_here(parameters[int(match.group(1)) - 1], identifier("f", people[0]))

    script = folder / "same-update.sql"
    text = " ".join(_PARAMETER.sub(spelled, statement).split())
    script.write_text(f"\\set person random({people[0]}, {people[-1]})\n{text};\n")
    return SameUpdate(database, script)


def _caught(world: World, population: Population, person: range, client_id: str) -> tuple[str, tuple[Any, ...]]:
    caught: list[tuple[str, Any]] = []

    def catch(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        caught.append((statement, parameters))

    services = world.services
    (token,) = population.refresh_tokens(person)
    event.listen(services.database.engine, "before_cursor_execute", catch)
    try:
        issued = refresh(
            services.database, token=token, client_id=client_id, scope=None, settings=services.settings,
            keyring=services.keyring, now=services.clock.now(),
        )  # fmt: skip
    finally:
        event.remove(services.database.engine, "before_cursor_execute", catch)
    assert isinstance(issued, Issued), issued
    (found,) = [(statement, given) for statement, given in caught if statement.startswith("UPDATE token_families")]
    return found


def _made_here(value: object, family: str) -> str:
    """SQL for a parameter: each is told by its value, since only its place has a name."""
    match value:
        case bytes():
            return f"'\\x{value.hex()}'::bytea"
        case int() if value > 10**15:
            return f"({_NOW} / 1000000 * 1000000)" if value % 10**6 == 0 else _NOW
        case int():
            return "token_families.generation"  # what is presented is the live one
        case str() if value == family:
            return "('0f' || lpad(:person::text, 23, '0') || '0')"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
