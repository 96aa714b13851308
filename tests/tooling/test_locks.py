"""What `make setup` installs is exactly what the lock files name: pinned, hashed, complete, bound to no registry."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["uv.txt", "runtime.txt", "dev.txt", "mutate.txt"]
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def _pins(lock: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in PINNED.findall(_read(lock))}


def _read(lock: str) -> str:
    return (ROOT / "requirements" / lock).read_text()


def _declared() -> dict[str, list[Requirement]]:
    """What each lock must satisfy."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = dict(project["dependency-groups"])
    runtime = [*project["project"]["dependencies"], *(name for extra in extras for name in extra)]
    mutate = groups.pop("mutate")  # in an environment of its own
    development = [*runtime, *(name for group in groups.values() for name in group)]
    declared = {"runtime.txt": runtime, "dev.txt": development, "mutate.txt": [*development, *mutate]}
    return {lock: list(map(Requirement, names)) for lock, names in declared.items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_in_a_lock_is_pinned_and_hashed(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", _read(lock), flags=re.MULTILINE))

    assert entries
    for entry in entries:
        assert PINNED.match(entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_registry(lock: str) -> None:
    assert "://" not in _read(lock)


def test_the_locks_satisfy_what_the_project_declares() -> None:
    for lock, requirements in _declared().items():
        pins = _pins(lock)
        for requirement in requirements:
            version = pins.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not locked: run make lock"
            assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: run make lock"


def test_tests_run_with_the_very_versions_that_are_installed_for_use() -> None:
    assert _pins("runtime.txt").items() <= _pins("dev.txt").items() <= _pins("mutate.txt").items()


def test_the_build_back_end_is_that_of_the_locked_uv() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (back_end,) = map(Requirement, project["build-system"]["requires"])

    assert back_end.name == "uv_build"
    assert back_end.specifier.contains(_pins("uv.txt")["uv"])
