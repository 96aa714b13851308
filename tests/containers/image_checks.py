"""`make image-test`: the image that buildah made, started with nothing but what it says itself; then compose.yaml.

Not collected by `make test`, since it needs root and images; it runs in a process, and a network, of its own.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import psycopg
import pytest
import requests

from tests.containers import compose
from tests.containers.box import PATIENCE_SECONDS, Box, Image, leave_for_an_empty_network
from tests.support import postgres_server
from tests.support.pages import FIREFOX, Page

DISCOVERY = "http://localhost:9000/.well-known/openid-configuration"
APPLICATIONS = ("http://127.0.0.1:9001", "http://127.0.0.1:9002")


@pytest.fixture(scope="session", autouse=True)
def _network() -> None:
    leave_for_an_empty_network()
    os.environ["NO_PROXY"] = "localhost,127.0.0.1,database"


@pytest.fixture(scope="session")
def image() -> Image:
    return Image.open(os.environ["IDP_TEST_IMAGE"])


@pytest.fixture(scope="session")
def demo_image() -> Image:
    return Image.open(os.environ["IDP_TEST_DEMO_IMAGE"])


def folder_of(image: Image, parent: Path, name: str) -> Path:
    """A new volume, with the owner and mode of the folder in the image that it takes the place of."""
    folder = parent / name
    folder.mkdir(mode=0o700, parents=True)
    os.chown(folder, *image.user)
    return folder


@pytest.fixture
def volume(image: Image, tmp_path: Path) -> Path:
    return folder_of(image, tmp_path, "var")


@pytest.fixture
def box(image: Image, volume: Path) -> Iterator[Callable[..., Box]]:
    """Boxes of the provider's image over one volume, stopped at the end."""
    boxes: list[Box] = []

    def make(*command: str) -> Box:
        whole = [*image.entrypoint, *command] if command else image.default_command
        boxes.append(Box(image, whole, volumes={"/var/lib/idp": volume}))
        return boxes[-1]

    yield make
    stop_all(boxes)


def stop_all(boxes: list[Box]) -> None:
    """Whatever still runs is killed: only a failed test leaves something."""
    for each in boxes:
        if each.process is not None and each.process.poll() is None:
            with suppress(IndexError, ProcessLookupError):
                each.stop(signal.SIGKILL)


# ── The provider's image ──────────────────────────────────────────────────────────────────────────────────────────────


def test_help_is_there_for_a_user_without_rights(box: Callable[..., Box]) -> None:
    answer = box("--help").run()

    assert answer.returncode == 0, answer.stdout
    assert "serve" in answer.stdout


def test_a_start_without_a_database_says_what_to_do(box: Callable[..., Box]) -> None:
    answer = box().run()

    assert answer.returncode == 1
    assert "idp init" in answer.stdout
    assert "Traceback" not in answer.stdout


def test_the_image_starts_answers_and_ends_when_it_is_asked_to(box: Callable[..., Box], image: Image) -> None:
    prepared = box("init").run()
    assert prepared.returncode == 0, prepared.stdout
    provider = box().start()
    provider.wait_until_healthy()

    discovery = requests.get(DISCOVERY, timeout=5)
    status = Path(f"/proc/{provider.first_process}/status").read_text()
    began = time.monotonic()
    ended = provider.stop()

    assert discovery.status_code == 200
    assert discovery.json()["issuer"] == "http://localhost:9000"
    assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
    assert "\nCapEff:\t0000000000000000\n" in status
    assert ended.returncode == 0, ended.stdout
    assert time.monotonic() - began < 30, "Kubernetes kills after 30 s"


def test_the_health_check_says_no_when_nothing_answers(image: Image, box: Callable[..., Box]) -> None:
    nobody_serves = Box(image, image.health_check).run()

    assert nobody_serves.returncode == 1


def test_the_user_owns_one_folder_and_may_write_to_nothing_else(image: Image) -> None:
    entries = [(path, path.lstat()) for path in image.root.rglob("*")]
    entries = [(path, found) for path, found in entries if stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)]

    owned = [path for path, found in entries if found.st_uid == image.user[0] or found.st_gid == image.user[1]]
    writable = [path for path, found in entries if found.st_mode & 0o002 and not found.st_mode & stat.S_ISVTX]

    assert image.user == (10001, 10001)
    assert owned == [image.root / "var/lib/idp"]
    assert writable == []


def test_no_tool_to_build_with_and_no_source_but_the_program_is_in_it(image: Image) -> None:
    tools = Box(image, ["sh", "-c", "command -v uv gcc cc make git curl wget hadolint"]).run()
    program = {path.name for path in (image.root / "opt/idp").iterdir()}

    assert tools.stdout == ""
    assert program == {".venv", "idp", "migrations", "pyproject.toml", "requirements"}


def test_byte_code_was_made_when_the_image_was(image: Image) -> None:
    folder = image.root / "opt/idp/idp"
    sources = {path.stem for path in folder.glob("*.py")}

    assert {path.name.split(".")[0] for path in (folder / "__pycache__").iterdir()} == sources


def test_drivers_and_servers_are_there(image: Image) -> None:
    program = "import psycopg, gunicorn, granian; print(psycopg.pq.__impl__)"

    assert Box(image, ["python", "-c", program]).run().stdout == "binary\n"


def test_neither_secrets_nor_addresses_of_the_build_are_in_the_image(image: Image) -> None:
    said = str(image.config).lower()

    assert set(image.environment) == {
        *("PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "IDP_VAR_DIR"),
    }
    assert "://" not in said.replace("http://127.0.0.1:9000/healthz", "")
    assert not (image.root / "run/secrets").exists()
    assert not list((image.root / "etc").glob("pip.conf"))


# ── compose.yaml ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Person:
    """Somebody's browser, which fills in the forms that it meets."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = FIREFOX
        self.address = ""
        self.page = Page("")

    def open(self, address: str) -> None:
        self._show(self._session.get(address, timeout=10))

    def press(self, action: str, button: str, **fields: str) -> None:
        form = self.page.form(action)
        name, value = form.buttons[button]
        sent = {**form.fields, **fields} | ({name: value} if name else {})
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self.address))
        target = urljoin(self.address, form.action)
        self._show(self._session.post(target, sent, headers={"Origin": origin}, timeout=10))

    def is_signed_in(self, application: str) -> bool:
        return bool(self._session.get(f"{application}/status", timeout=10).json()["signed_in"])

    def _show(self, response: requests.Response) -> None:
        assert response.status_code == 200, (response.url, response.status_code, response.text)
        self.address, self.page = response.url, Page(response.text)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[None]:
    """What the service `database` is: a PostgreSQL on its port, with user, password and database of that name."""
    account = postgres_server.server_account()
    folder = postgres_server.make_folder(account)
    binaries = postgres_server.reachable_binaries(account, postgres_server.find_binaries(), folder)
    password = folder / "password"
    password.write_text(compose.ENVIRONMENT["POSTGRES_PASSWORD"])
    os.chown(password, account.uid, account.gid)
    how = ["-D", str(folder / "data"), "-U", "idp", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
    log = tmp_path / "postgres.log"
    with log.open("wb") as output:
        made = account.run([str(binaries / "initdb"), *how, "--encoding=UTF8"], stdout=output, stderr=output)
        assert made.wait() == 0, log.read_text()
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        start = [str(binaries / "postgres"), "-D", str(folder / "data"), *options]
        server = account.run(start, stdout=output, stderr=output, cwd=folder)
    address = ["-h", "127.0.0.1", "-U", "idp"]
    environment = {**os.environ, "PGPASSWORD": compose.ENVIRONMENT["POSTGRES_PASSWORD"]}
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while subprocess.run([binaries / "pg_isready", "-q", *address, "-d", "postgres"], check=False).returncode:
            assert time.monotonic() < deadline, log.read_text()
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        subprocess.run([binaries / "createdb", *address, "idp"], env=environment, check=True)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(PATIENCE_SECONDS)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def services(image: Image, demo_image: Image, database: None, tmp_path: Path) -> Iterator[dict[str, Box]]:
    """The services of ours, started in their order as Compose would; the one-shot ones have ended well."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost database\n")
    every = compose.load()
    volumes: dict[str, Path] = {}
    running: dict[str, Box] = {}
    one_shot = {name for each in every.values() for name, how in each.depends_on.items() if "completed" in how}
    try:
        for service in compose.in_order(every):
            if not service.is_ours:
                continue
            its_image = demo_image if service.target == "demo" else image
            for volume in service.volumes.values():
                if volume not in volumes:
                    volumes[volume] = folder_of(its_image, tmp_path, volume)
            box = Box(
                its_image,
                service.command(entrypoint=its_image.entrypoint, default=its_image.config["config"]["Cmd"]),
                service.environment,
                {target: volumes[volume] for target, volume in service.volumes.items()},
                service.raw["tmpfs"],
                hosts,
            )
            if service.name in one_shot:
                ended = box.run()
                assert ended.returncode == 0, f"{service.name}: {ended.stdout}"
            else:
                running[service.name] = box.start()
                if not service.raw.get("healthcheck", {}).get("disable"):
                    box.wait_until_healthy(service.health_check or ())
        running["people"] = Box(
            demo_image,
            every["people"].command(entrypoint=[], default=[]),
            every["people"].environment,
            {target: volumes[volume] for target, volume in every["people"].volumes.items()},
            every["people"].raw["tmpfs"],
            hosts,
        )
        yield running
    finally:
        stop_all(list(running.values()))


class Tool:
    """The example's command-line tool, run in a container of the demo's image beside the composed ones."""

    def __init__(self, image: Image, client_id: str, folder: Path, hosts: Path) -> None:
        self.tokens = folder / "tokens.json"
        self._image, self._hosts = image, hosts
        self._environment = {
            "OP_ISSUER": "http://localhost:9000",
            "CLI_CLIENT_ID": client_id,
            "CLI_APP_TOKEN_FILE": "/var/lib/idp/tokens.json",
        }

    def start(self, *arguments: str) -> Box:
        command = ["python", "-m", "examples.cli_app", *arguments]
        volumes = {"/var/lib/idp": self.tokens.parent}
        return Box(self._image, command, self._environment, volumes, hosts=self._hosts).start()

    def sign_in(self, person: "Person") -> None:
        """The person is signed in at the provider already and only has to answer the page about the tool."""
        waiting = self.start("login", "--no-browser")
        assert waiting.process is not None
        assert waiting.process.stdout is not None
        try:
            said = [waiting.process.stdout.readline() for _ in range(2)]  # what to do, and the address
            assert said[1].startswith("http://localhost:9000/oauth2/authorize?"), said
            person.open(said[1].strip())
            person.press("/consent", "consent-allow")
            ended = waiting.wait()
            assert ended.returncode == 0, ended.stdout
        finally:
            stop_all([waiting])

    def refresh(self) -> int:
        """The exit status: 0 refreshed, 3 signed out."""
        return self.start("refresh").wait().returncode


def registered_tool(provider: Box) -> str:
    """The client_id of a tool that was registered as the guide says."""
    address = ("--redirect-uri", "http://127.0.0.1/callback")
    made = provider.execute("idp", "clients", "create", "--name", "Some tool", "--public", *address, "--json")
    assert made.returncode == 0, made.stdout
    return str(json.loads(made.stdout)["client_id"])


def let_eleven_seconds_pass() -> None:
    """As far as refresh tokens know: longer than one may be repeated."""
    with psycopg.connect(
        host="127.0.0.1", dbname="idp", user="idp", password=compose.ENVIRONMENT["POSTGRES_PASSWORD"]
    ) as tx:
        tx.execute("UPDATE token_families SET rotated_at = rotated_at - 11000000 WHERE rotated_at IS NOT NULL")


def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    """Ask again and again, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def test_the_composed_services_sign_somebody_in_and_out_again_and_send_mail(
    services: dict[str, Box], demo_image: Image, tmp_path: Path
) -> None:
    told = services["people"].run().stdout  # a second time: it finds everything made, and says the passwords again
    password = dict(line.split() for line in told.splitlines())["alice"]
    person = Person()
    person.open(f"{APPLICATIONS[0]}/sign-in")
    person.press("/login", "login-submit", username="alice", password=password)
    person.press("/consent", "consent-allow")
    person.open(f"{APPLICATIONS[1]}/sign-in")
    person.press("/consent", "consent-allow")
    assert [person.is_signed_in(application) for application in APPLICATIONS] == [True, True]

    # An old copy of a tool's token is used: the tool is signed out, and its owner gets mail about it.
    client_id = registered_tool(services["provider"])
    owner, thief = (
        Tool(demo_image, client_id, folder_of(demo_image, tmp_path, name), tmp_path / "hosts")
        for name in ("owner", "thief")
    )
    owner.sign_in(person)
    shutil.copy(owner.tokens, thief.tokens)
    os.chown(thief.tokens, *demo_image.user)
    assert owner.refresh() == 0
    let_eleven_seconds_pass()
    assert owner.refresh() == 0
    assert "Some tool" not in caught_mail()
    assert [thief.refresh(), owner.refresh()] == [3, 3]
    wait_until(lambda: "Some tool was signed out to be safe" in caught_mail(), "no mail came")
    assert "alice@example.com" in caught_mail()

    # An administrator ends everything: both applications are told.
    ended = services["provider"].execute("idp", "sessions", "end", "--user", "alice", "--all")

    assert ended.returncode == 0, ended.stdout
    wait_until(lambda: not any(map(person.is_signed_in, APPLICATIONS)), "nobody told the applications")
    for name in ("application-1", "application-2", "mail", "worker", "provider"):
        stopped = services[name].stop()
        assert stopped.returncode == 0, f"{name}: {stopped.stdout}"


def caught_mail() -> str:
    """The page of the mail catcher."""
    answer = requests.get("http://127.0.0.1:8025/", timeout=10)
    assert answer.status_code == 200
    return answer.text
