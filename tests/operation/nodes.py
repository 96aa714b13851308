"""`Node`: one `idp serve` as a real process, on an installation that may have several."""

import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from click.testing import CliRunner

from idp.cli import main
from tests.support.processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]


IDP = [sys.executable, "-m", "idp.cli"]


SECRET = "a secret for tests only, long enough to be taken"


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Node:
    """One `idp serve` on an installation that may have several."""

    def __init__(self, folder: Path, database_url: str, name: str, **settings: str) -> None:
        self.port = free_port()
        self.log = folder / f"{name}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("IDP_", "PROMETHEUS_"))}
        self.environment = {
            **clean,
            "IDP_VAR_DIR": str(folder / "var"),
            "IDP_DATABASE_URL": database_url,
            "IDP_SECRET": SECRET,
            "IDP_ISSUER": "http://localhost:9000",
            "IDP_DRAIN_LIFETIME": "0",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> str:
        """What a command of `idp` prints. In this process: what counts here are the ones that go on running."""
        elsewhere = {name: None for name in os.environ if name.startswith("IDP_") and not name.startswith("IDP_TEST_")}
        done = CliRunner().invoke(main, list(arguments), env={**elsewhere, **self.environment})
        assert done.exit_code == 0, done.output
        return done.stdout

    def start(self, *arguments: str, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*IDP, "serve", "--port", str(self.port), "--workers", "2", "--threads", "4", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until(lambda: self.status("/readyz") == 200, 100)

    def status(self, path: str) -> int | None:
        try:
            return self.get(path)[0]
        except (OSError, HTTPException):
            return None

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(45)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


OpenNode = Callable[..., Node]


def make_service(node: Node) -> dict[str, str]:
    """A client that gets tokens for itself; the headers with which it does."""
    made = json.loads(node.run("clients", "create", "--name", "Job", "--service", "--json"))
    pair = b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    return {**FORM, "Authorization": f"Basic {pair}"}


BODY = urlencode({"grant_type": "client_credentials"}).encode()
