"""The installation that the machine plays on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.stateful.machine import Machine
from tests.stateful.surface import Applications, Installation
from tests.stateful.told import Told
from tests.support.heart import Heart


@pytest.fixture
def installation(heart: Heart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Two nodes. Commands ask the hand clock too."""
    for name in os.environ:
        if name.startswith("IDP_") and not name.startswith("IDP_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("idp.web.services.SystemClock", lambda: heart.clock)
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
