"""compose.yaml as Compose reads it: variables filled in, each service with what the tests ask about it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
# What `make .env` makes, with values of the same shape.
ENVIRONMENT = {"IDP_SECRET": "s" * 64, "POSTGRES_PASSWORD": "p-_" * 11}

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+):\?([^}]*)\})")


@dataclass(frozen=True)
class Service:
    """One service. `is_ours`: its image is built from this repository."""

    name: str
    raw: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        return "build" in self.raw

    @property
    def target(self) -> str | None:
        """The stage of the Dockerfile; None for the last one."""
        return self.raw["build"].get("target") if self.is_ours else None

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.raw.get("environment", {}))

    @property
    def depends_on(self) -> dict[str, str]:
        """Service → condition."""
        return {name: how["condition"] for name, how in self.raw.get("depends_on", {}).items()}

    @property
    def volumes(self) -> dict[str, str]:
        """Folder in the container → named volume."""
        pairs = [volume.split(":") for volume in self.raw.get("volumes", ())]
        return {target: source for source, target, *_ in pairs}

    @property
    def ports(self) -> list[tuple[str, int, int]]:
        """Address here, port here, port in the container."""
        triples = [port.rsplit(":", 2) for port in self.raw.get("ports", ())]
        return [(address, int(here), int(there)) for address, here, there in triples]

    def command(self, *, entrypoint: list[str], default: list[str]) -> list[str]:
        """The whole command line, given the image's. As in Compose, an own entrypoint drops the image's command."""
        own = self.raw.get("entrypoint")
        rest = self.raw.get("command", [] if own is not None else default)
        return [*(entrypoint if own is None else own), *rest]

    @property
    def health_check(self) -> list[str] | None:
        """The command of a health check of its own; None when it has none or is not to be checked."""
        test = self.raw.get("healthcheck", {}).get("test")
        if test is None:
            return None
        assert test[0] == "CMD"
        return list(test[1:])


def load() -> dict[str, Service]:
    """The services by name. Raises KeyError for a variable that `make .env` does not make."""
    raw = yaml.safe_load(FILE.read_text("utf-8"))
    return {name: Service(name, _filled(service)) for name, service in raw["services"].items()}


def in_order(services: Mapping[str, Service]) -> Iterator[Service]:
    """Every service after those that it depends on."""
    done: set[str] = set()
    while len(done) < len(services):
        ready = [each for each in services.values() if each.name not in done and set(each.depends_on) <= done]
        assert ready, "services depend on each other in a circle"
        yield from ready
        done |= {each.name for each in ready}


def _filled(value: Any) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: "$" if found.group(1) else ENVIRONMENT[found.group(2)], value)
        case dict():
            return {key: _filled(part) for key, part in value.items()}
        case list():
            return [_filled(part) for part in value]
        case _:
            return value
