"""`log_lines`: the real logging pipeline of a process, writing to where the test can read. `node`: what probes ask.

`open_node`: real processes. `services`: those of a process that only looks.
"""

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.kit.clock import SystemClock
from idp.kit.logs import configure_logs
from idp.web.services import Services
from tests.operation.nodes import Node, OpenNode
from tests.operation.probes import OpenProvider, ProbedNode
from tests.support.heart import HandClock

LogLines = Callable[[], list[dict[str, Any]]]


class LogStream(io.StringIO):
    """What the pipeline wrote, whole or line by line."""

    @property
    def text(self) -> str:
        return self.getvalue()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in found if event is None or line["event"] == event]

    def clear(self) -> None:
        self.seek(0)
        self.truncate()


@pytest.fixture
def open_log(restored_logging: None) -> Callable[..., LogStream]:
    """Configures logging as a process does, and returns what it writes to."""

    def configure(level: str = "info", *, layout: str = "json", **given: Any) -> LogStream:
        stream = LogStream()
        configure_logs(level, layout=layout, stream=stream, **given)
        return stream

    return configure


@pytest.fixture
def log(open_log: Callable[..., LogStream]) -> LogStream:
    """JSON lines from `info` on."""
    return open_log()


@pytest.fixture
def open_node(tmp_path: Path, database_url: str) -> Iterator[OpenNode]:
    """Makes nodes over one database that `idp init` has prepared."""
    nodes: list[Node] = []

    def make(**settings: str) -> Node:
        nodes.append(Node(tmp_path, database_url, f"node{len(nodes)}", **settings))
        if len(nodes) == 1:
            nodes[0].run("init")
        return nodes[-1]

    yield make
    for node in nodes:
        node.end()


@pytest.fixture
def services(open_services: Callable[..., Services]) -> Services:
    """Those of a process that only looks."""
    return open_services()


@pytest.fixture
def node(open_provider: OpenProvider, hand_clock: HandClock) -> ProbedNode:
    """A node whose checks have the right time, and beside which a worker reports."""
    hand_clock.moment = SystemClock().now() - timedelta(seconds=30)  # when its keys are made
    node = ProbedNode(open_provider())
    node.report()
    return node
