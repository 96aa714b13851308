"""The installation that the machine plays on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from argon2 import PasswordHasher

from idp.users import passwords
from tests.stateful.machine import Machine
from tests.stateful.surface import Applications, Installation
from tests.stateful.told import Told
from tests.support.heart import Heart


@pytest.fixture
def installation(heart: Heart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Two nodes. Commands ask the hand clock too, and a password costs next to nothing: how much is not the subject."""
    for name in os.environ:
        if name.startswith("IDP_") and not name.startswith("IDP_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("idp.web.services.SystemClock", lambda: heart.clock)
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with Applications() as receiver:
        installation = Installation(heart, cast("Applications", receiver), tmp_path)
        yield installation
        installation.close()


@pytest.fixture
def story(installation: Installation) -> Iterator[Told]:
    Machine.installation = installation
    told = Told(Machine())
    yield told
    told.machine.teardown()
