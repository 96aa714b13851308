"""`Demo`: what `idp demo` starts, as real processes on free ports with a folder of its own; and `Tool`, its user's CLI.

People are put into the demo's database directly, because a command for each would take longer than the tests.
"""

import json
import os
import re
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from idp.db.models import User
from idp.kit.opaque import Secret
from idp.settings import load_settings
from idp.users import create_user, hash_password
from idp.web.services import build_services
from tests.support.processes import free_port

ROOT = Path(__file__).parents[2]
IDP = Path(sys.executable).with_name("idp")
# Generous: other things run on the same machine. Nobody waits longer than it really takes.
STEP_SECONDS = 60
# What a receipt says of an application that has not answered yet. On a busy machine the demo application's own patience
# (10 s for its database) may end before the page is there: then it has been asked once more.
NOT_YET_TOLD = re.compile("Being told|Trying again")
PORT_OPTIONS = ("--port", "--app-port", "--second-app-port", "--mail-port", "--smtp-port")
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """Somebody with an account at the demo's provider."""

    username: str
    email: str
    password: str


class Demo:
    """Provider, worker, two demo applications and mail catcher. `restart` keeps data and addresses."""

    def __init__(self, folder: Path, *, ports: Sequence[int] | None = None) -> None:
        self.folder = folder
        self._ports = ports or [free_port() for _ in PORT_OPTIONS]
        self._process: subprocess.Popen[str] | None = None
        self._password_hash = hash_password(Secret(PASSWORD))
        self.told: dict[str, str] = {}

    def start(self) -> None:
        """Run `idp demo` until it says that everything answers."""
        chosen = [part for option, port in zip(PORT_OPTIONS, self._ports, strict=True) for part in (option, str(port))]
        # A file and no pipe: what nobody reads must not fill up and stop the programs.
        errors = self.folder / "demo.stderr"
        with errors.open("w") as sink:
            self._process = subprocess.Popen(
                [IDP, "demo", *chosen, "--json"],
                env=self._environment(),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        if not lines or not lines[-1].startswith("}"):
            self.stop()
            raise AssertionError(f"the demo did not start: {errors.read_text()}")
        self.told = json.loads("".join(lines))

    def stop(self) -> int:
        """As Ctrl-C does. The exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(STEP_SECONDS)
        finally:
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def restart(self) -> None:
        """Stop everything, and start it again."""
        assert self.stop() == 0
        self.start()

    @property
    def issuer(self) -> str:
        return self.told["issuer"]

    @property
    def application(self) -> str:
        return self.told["application"]

    @property
    def second_application(self) -> str:
        return self.told["second_application"]

    @property
    def bob(self) -> Person:
        """The other person whose credentials it prints."""
        return Person(self.told["second_username"], self.told["second_email"], self.told["second_password"])

    @property
    def alice(self) -> Person:
        """The first person that the demo made and whose credentials it prints."""
        return Person(self.told["username"], self.told["email"], self.told["password"])

    def idp(self, *arguments: str) -> Any:
        """What a command of `idp` prints as JSON."""
        done = subprocess.run(
            [IDP, *arguments, "--json"],
            env=self._environment() | {"IDP_CONFIG": self.told["config"]},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def new_person(self, name: str = "Ada Lovelace") -> Person:
        """Somebody of whom the provider knows no session yet."""
        username = f"{name.partition(' ')[0].lower()}-{secrets.token_hex(3)}"
        person = Person(username, f"{username}@example.com", PASSWORD)
        services = build_services(load_settings({}, var_dir=self.folder, issuer=self.issuer))
        try:
            with services.database.transaction() as tx:
                made = create_user(
                    tx,
                    email=person.email,
                    username=username,
                    password_hash=self._password_hash,
                    claims={"name": name},
                    email_verified=True,
                    now=services.clock.now(),
                )
        finally:
            services.database.engine.dispose()
        assert isinstance(made, User), made
        return person

    def happened_before(self, person: Person, name: str, *, started: timedelta, active: timedelta) -> None:
        """Let sign-ins of a person, in a browser or of a tool whose name begins so, lie further in the past."""
        moved = {
            "name": f"{name}%",
            "email": person.email,
            "started": started // timedelta(microseconds=1),
            "active": active // timedelta(microseconds=1),
        }
        meant = """
            user_id = (SELECT id FROM users WHERE email = :email) AND (kind = 'browser' AND agent_name LIKE :name
            OR client_id IN (SELECT id FROM clients WHERE name LIKE :name))"""
        with closing(self._connect("idp.sqlite3")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE token_families SET last_used_at = last_used_at - :active"
                f" WHERE session_id IN (SELECT id FROM sessions WHERE {meant})",
                moved,
            )
            changed = connection.execute(
                "UPDATE sessions SET started_at = started_at - :started, last_active_at = last_active_at - :active"
                f" WHERE {meant}",
                moved,
            )
            connection.execute("COMMIT")
        assert changed.rowcount

    def refreshed_before(self, person: Person, *, ago: timedelta) -> None:
        """Let the latest refresh of each of a person's tokens lie further in the past."""
        with closing(self._connect("idp.sqlite3")) as connection:
            changed = connection.execute(
                "UPDATE token_families SET rotated_at = rotated_at - :ago"
                " WHERE rotated_at IS NOT NULL AND user_id = (SELECT id FROM users WHERE email = :email)",
                {"ago": ago // timedelta(microseconds=1), "email": person.email},
            )
        assert changed.rowcount

    def silent_sign_in_address(self) -> str:
        """Where the demo application would ask without showing anything whether somebody is signed in."""
        question = {
            "client_id": self.told["web_client_id"],
            "redirect_uri": f"{self.application}/callback",
            "response_type": "code",
            "scope": "openid",
            "state": "s",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
            "prompt": "none",
        }
        return f"{self.issuer}/oauth2/authorize?{urlencode(question)}"

    @contextmanager
    def slow_application(self) -> Iterator[None]:
        """The demo application hears everything but answers nothing before the end of the block."""
        with closing(self._connect("demo_application.sqlite3")) as connection:
            connection.execute("BEGIN IMMEDIATE")  # each of its transactions begins so, too
            yield
            connection.execute("ROLLBACK")

    def _connect(self, file: str) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / file, timeout=STEP_SECONDS, isolation_level=None)

    def _environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
        return mine | {
            "IDP_VAR_DIR": str(self.folder),
            # A slow machine is no dead application: its answer is waited for instead of asked for again.
            "IDP_DELIVERY_REQUEST_LIFETIME": "20s",
            # So that browsers can come from different addresses: `new_browser(address=…)`.
            "IDP_TRUSTED_PROXIES": "127.0.0.1",
        }


class Tool:
    """The demo's command-line tool on one machine of one person."""

    def __init__(self, demo: Demo, folder: Path, *, client_id: str = "") -> None:
        self.token_file = folder / f"tool-{secrets.token_hex(3)}" / "tokens.json"
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("IDP_", "OP_", "CLI_"))}
        self._environment = mine | {
            "OP_ISSUER": demo.issuer,
            "CLI_CLIENT_ID": client_id or demo.told["cli_client_id"],
            "CLI_APP_TOKEN_FILE": str(self.token_file),
        }

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        """One copy of the tool, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "examples.cli_app", *arguments],
            env=self._environment | changes,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> "Done":
        """One command, to its end."""
        return finish(self.start(*arguments))

    @contextmanager
    def signing_in(self) -> Iterator["SigningIn"]:
        """`login --no-browser`, waiting for its answer. At the end of the block it is over, one way or the other."""
        process = self.start("login", "--no-browser", "--seconds", str(STEP_SECONDS))
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("http"):
                    break
            else:
                raise AssertionError("the tool named no address to open")
            yield SigningIn(process, line.strip())
        finally:
            process.kill()
            process.communicate()

    def sign_in(self, page: Page) -> None:
        """In a browser where the person is signed in already: only the page of the app has to be answered."""
        with self.signing_in() as waiting:
            page.goto(waiting.address)
            page.locator("#consent-allow").click()
            expect(page.get_by_role("heading", name="Back to the terminal")).to_be_visible()
            done = waiting.finish()
        assert done.status == 0, done.errors


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    status: int
    output: str
    errors: str


@dataclass(frozen=True)
class SigningIn:
    """A tool that waits for somebody to open `address` and sign in."""

    process: subprocess.Popen[str]
    address: str

    def finish(self) -> Done:
        """When it has its answer."""
        return finish(self.process)


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for the end of one copy of the tool."""
    output, errors = process.communicate(timeout=STEP_SECONDS)
    return Done(process.returncode, output, errors)
