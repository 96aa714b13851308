"""Real processes: serve, worker and demo start, answer, are told to stop, and leave nothing running."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from tests.support.pages import Page
from tests.support.processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]
IDP = [sys.executable, "-m", "idp.cli"]


def fetch(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except (urllib.error.URLError, OSError):
        return None


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Machine:
    """One installation in a folder of its own; every process that it started is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
        self.environment = {
            **clean,
            "IDP_VAR_DIR": str(folder / "var"),
            "IDP_ISSUER": self.issuer,
            "IDP_DRAIN_LIFETIME": "0",
        }
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*IDP, *arguments],
            cwd=ROOT,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        output = (self.folder / "stderr.txt").open("w")
        process = subprocess.Popen(
            [*IDP, *arguments], cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=output, text=True
        )
        output.close()
        self._started.append(process)
        return process

    @property
    def errors(self) -> str:
        return (self.folder / "stderr.txt").read_text()

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Nothing was set up."""
    machine = Machine(tmp_path)
    yield machine
    machine.end()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `idp init` leaves behind. Made once, since it takes its second; each test gets a copy."""
    machine = Machine(tmp_path_factory.mktemp("prepared"))
    made = machine.run("init")
    assert made.returncode == 0, made.stderr
    return machine.folder / "var"


@pytest.fixture
def installed(machine: Machine, prepared: Path) -> Machine:
    """After `idp init`."""
    shutil.copytree(prepared, machine.folder / "var")
    return machine


def children_of(pid: int) -> list[int]:
    """All living descendants."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines() if "Z" not in line.split()[2]}
    found, wave = [], [pid]
    while wave:
        wave = [child for child, parent in parents.items() if parent in wave]
        found += wave
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("server", "number"), [("gunicorn", signal.SIGINT), ("granian", signal.SIGTERM)])
def test_serve_runs_server_and_worker_and_ends_both_when_asked(
    installed: Machine, server: str, number: signal.Signals
) -> None:
    process = installed.start("serve", "--workers", "1", "--server", server)

    configuration = until(lambda: fetch(f"http://127.0.0.1:{installed.port}/.well-known/openid-configuration"))
    family = children_of(process.pid)
    until(lambda: "worker_started" in installed.errors)
    process.send_signal(number)

    assert process.wait(40) == 0, installed.errors
    assert configuration["issuer"] == installed.issuer
    assert len(family) >= 3
    assert not any(is_alive(pid) for pid in family)
    assert not listens(installed.port)
    assert "worker_stopped" in installed.errors
    assert "Traceback" not in installed.errors


def test_what_granian_says_itself_passes_through_our_logs(installed: Machine) -> None:
    process = installed.start("serve", "--workers", "1", "--without-worker", "--server", "granian")
    address = f"http://127.0.0.1:{installed.port}/.well-known/openid-configuration"
    until(lambda: fetch(address))
    server, worker = children_of(process.pid)
    os.kill(worker, signal.SIGKILL)

    until(lambda: "Unexpected exit" in installed.errors)
    until(lambda: fetch(address))  # its successor: granian kills one that is still starting only after half a minute
    assert is_alive(server)
    process.terminate()
    assert process.wait(40) == 0

    said = [json.loads(line) for line in installed.errors.splitlines() if not line.startswith(("Serving", "Note"))]
    of_granian = [line for line in said if line.get("logger") == "_granian"]
    assert "error" in {line["level"] for line in of_granian}
    assert any("Unexpected exit" in line["event"] for line in of_granian)


def test_serve_without_worker_runs_the_server_alone(installed: Machine) -> None:
    process = installed.start("serve", "--workers", "1", "--without-worker")

    until(lambda: fetch(f"http://127.0.0.1:{installed.port}/.well-known/openid-configuration"))
    process.terminate()

    assert process.wait(40) == 0
    assert "worker_started" not in installed.errors


def test_a_supervisor_that_is_killed_leaves_nothing_behind(installed: Machine) -> None:
    process = installed.start("serve", "--workers", "1")
    until(lambda: fetch(f"http://127.0.0.1:{installed.port}/.well-known/openid-configuration"))
    until(lambda: "worker_started" in installed.errors)
    family = children_of(process.pid)

    process.kill()

    until(lambda: not any(is_alive(pid) for pid in family))
    assert not listens(installed.port)


def test_a_worker_that_dies_is_started_again(installed: Machine) -> None:
    process = installed.start("serve", "--workers", "1")
    until(lambda: installed.errors.count("worker_started") == 1)
    holder = next(line for line in installed.errors.splitlines() if "worker_started" in line)
    worker = int(json.loads(holder)["holder"].split(":")[1])

    os.kill(worker, signal.SIGKILL)

    until(lambda: installed.errors.count("worker_started") == 2)
    process.terminate()
    assert process.wait(40) == 0


def test_a_busy_port_is_told_in_one_sentence(installed: Machine) -> None:
    with socket.create_server(("127.0.0.1", installed.port)):
        refused = installed.run("serve")

    assert refused.returncode == 1
    assert f"Port {installed.port} on 127.0.0.1 is in use" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_address_that_is_not_ours_is_told_in_one_sentence(installed: Machine) -> None:

    assert "Can't listen on 192.0.2.1" in installed.run("serve", "--host", "192.0.2.1").stderr


def test_a_worker_alone_ends_in_good_order(installed: Machine) -> None:
    process = installed.start("worker")
    until(lambda: "worker_started" in installed.errors)

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert "worker_stopped" in installed.errors


# ── The demo ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Browser:
    """Follows redirects between provider and application, and submits the forms that their pages have."""

    def __init__(self) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        self.at = ""
        self.page = Page("")

    def open(self, url: str) -> Page:
        return self._show(self._http.get(url, timeout=20))

    def submit(self, action: str, button: str = "", **fields: str) -> Page:
        form = self.page.form(action)
        name, value = form.buttons.get(button, ("", ""))
        data = {**form.fields, **({name: value} if name else {}), **fields}
        return self._show(self._http.post(urljoin(self.at, form.action), data=data, timeout=20))

    def _show(self, answer: requests.Response) -> Page:
        assert answer.status_code < 400, (answer.status_code, answer.url, answer.text[:2000])
        self.at, self.page = answer.url, Page(answer.text)
        return self.page


def test_the_demo_tells_its_story_and_keeps_its_data(machine: Machine) -> None:
    ports = {option: free_port() for option in ("--app-port", "--second-app-port", "--mail-port", "--smtp-port")}
    arguments = _demo_on({"--port": machine.port, **ports}, "--json")
    process = machine.start(*arguments)
    told = _read_json(process)

    browser = Browser()
    browser.open(told["application"])
    browser.open(told["application"] + "/sign-in")
    browser.submit("/login", username=told["username"], password=told["password"])
    if urlsplit(browser.at).path == "/consent":
        browser.submit("/consent", "consent-allow")
    assert urlsplit(browser.at).netloc == urlsplit(told["application"]).netloc
    status = told["application"] + "/status"
    assert browser._http.get(status, timeout=20).json() == {"signed_in": True}

    # As in the story's terminal: from here on all that is known is the file.
    machine.environment = {name: value for name, value in machine.environment.items() if not name.startswith("IDP_")}
    machine.environment["IDP_CONFIG"] = told["config"]
    checked = machine.run("clients", "check", told["web_client_id"], "--send-test-notice")
    assert checked.returncode == 0, checked.stdout
    assert "Answered 200" in checked.stdout
    assert machine.run("clients", "self-test-link", told["web_client_id"]).stdout.startswith(told["issuer"])
    listed = json.loads(machine.run("sessions", "list", "--user", "alice", "--json").stdout)
    ended = machine.run("sessions", "end", "--user", "alice", "--all", "--json")
    until(lambda: browser._http.get(status, timeout=20).json() == {"signed_in": False}, 15)

    assert [row["applications"] for row in listed] == [["Demo wiki"]]
    assert json.loads(ended.stdout)["applications_to_tell"] == 1
    logged = machine.folder / "var" / "demo.log"
    until(lambda: '"result": "told"' in logged.read_text())  # the worker says so after the application has acted
    log = logged.read_text()
    assert told["password"] not in log
    assert told["second_password"] not in log
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    assert not any(map(listens, (machine.port, *ports.values())))
    again = machine.start(*arguments)
    assert _read_json(again) == told
    again.terminate()
    assert again.wait(40) == 0


DEMO_PORTS = ("--port", "--app-port", "--second-app-port", "--mail-port", "--smtp-port")


@pytest.mark.parametrize("busy", ["--app-port", "--smtp-port"])
def test_the_demo_says_which_port_is_busy_and_what_to_do(machine: Machine, busy: str) -> None:
    ports = {option: free_port() for option in DEMO_PORTS}
    with socket.create_server(("127.0.0.1", ports[busy])):
        refused = machine.run(*_demo_on(ports))

    assert refused.returncode == 1
    assert f"Port {ports[busy]} on 127.0.0.1 is in use" in refused.stderr
    assert f"idp demo {busy} " in refused.stderr


def test_the_demo_wants_a_port_for_each_of_its_programs(machine: Machine) -> None:
    refused = machine.run("demo", "--app-port", "9100", "--mail-port", "9100")

    assert refused.returncode == 1
    assert "--app-port and --mail-port are both 9100" in refused.stderr


def test_the_demo_sends_no_mail_through_a_real_server(machine: Machine) -> None:
    machine.environment |= {"IDP_SMTP_HOST": "mail.example", "IDP_MAIL_FROM": "accounts@example.com"}

    refused = machine.run("demo")

    assert refused.returncode == 1
    assert "Unset IDP_SMTP_HOST" in refused.stderr


def _demo_on(ports: dict[str, int], *more: str) -> tuple[str, ...]:
    return ("demo", *(part for option, port in ports.items() for part in (option, str(port))), *more)


def test_the_demo_refuses_a_database_that_may_be_a_real_one(machine: Machine) -> None:
    machine.environment |= {"IDP_DATABASE_URL": "postgresql://db.example/idp", "IDP_SECRET": "s" * 48}

    assert "Unset IDP_DATABASE_URL" in machine.run("demo").stderr


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_the_demo_takes_over_nobodys_account(installed: Machine, name: str) -> None:
    installed.run("users", "create", "--username", name, "--password-stdin", given="a real person's")

    refused = installed.run(*_demo_on({option: free_port() for option in DEMO_PORTS}))

    assert refused.returncode == 1
    assert f"a person '{name}' whom the demo did not make" in refused.stderr


def _read_json(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("}"):
        line = process.stdout.readline()
        assert line, "the demo ended before it was ready"
        text += line
    found: dict[str, str] = json.loads(text)
    return found
