"""`idp demo`: the whole story on one machine, with one command, stopped by Ctrl-C.

Provider and application are on different sites (localhost and 127.0.0.1), as they are in the world. Runs on the
embedded database only, because it makes a person whose password it prints.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

import idp
from idp.cli.context import json_option, print_json
from idp.cli.database import initialize
from idp.cli.demo_data import EMAIL, USERNAME, DemoData, prepare
from idp.cli.serve import check_port, server_command, worker_command
from idp.cli.supervisor import Child, Supervisor
from idp.settings import Settings, load_settings
from idp.web.services import build_services

SOURCE = Path(idp.__file__).resolve().parents[1]
START_SECONDS = 60.0
_TAIL_BYTES = 4000


@dataclass(frozen=True)
class _Places:
    issuer: str
    application: str
    port: int
    application_port: int


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9000, show_default=True, help="The provider's port.")
@click.option(
    "--app-port", type=click.IntRange(1, 65535), default=9001, show_default=True, help="The demo application's port."
)
@json_option
def demo(port: int, app_port: int, as_json: bool) -> None:
    """Start provider, worker and a demo application; prints addresses, credentials and what to try.

    A second start keeps the data. Remove the folder var/ to begin anew.
    """
    places = _Places(f"http://localhost:{port}", f"http://127.0.0.1:{app_port}", port, app_port)
    settings = load_settings(issuer=places.issuer)
    _check(settings, places)
    initialize(settings)
    services = build_services(settings)
    try:
        data = prepare(services, application_url=places.application, folder=settings.var_dir)
    finally:
        services.database.engine.dispose()
    log_file = settings.var_dir / "demo.log"
    log_file.write_bytes(b"")
    supervisor = Supervisor(_children(settings, places, data, log_file))
    supervisor.start()
    try:
        if _wait_until_ready(supervisor, places, quiet=as_json):
            if as_json:
                print_json(_as_json(places, data, log_file))
            else:
                click.echo(_story(places, data, log_file, settings))
            sys.stdout.flush()
            supervisor.wait()
        failed = None if supervisor.is_stopping else supervisor.find_ended()
    finally:
        supervisor.stop()
    if failed is not None:
        raise click.ClickException(
            f"{failed.name} ended unexpectedly. The end of {log_file} says why:\n{_tail(log_file)}"
        )
    if not supervisor.is_stopping:
        raise click.ClickException(f"The demo did not answer within {START_SECONDS:.0f} s:\n{_tail(log_file)}")
    click.echo("Stopped. The data stays; `make demo` goes on with it.", err=True)


def _check(settings: Settings, places: _Places) -> None:
    if not settings.is_sqlite:
        raise click.ClickException(
            "The demo makes a person with a printed password, so it runs on the embedded database only. "
            "Unset IDP_DATABASE_URL for it."
        )
    if places.port == places.application_port:
        raise click.ClickException("Provider and application need different ports: see --port and --app-port.")
    if not (SOURCE / "examples" / "relying_party").is_dir():
        raise click.ClickException("The demo application is part of the source tree: run `make demo` there.")
    if find_spec("requests") is None:
        raise click.ClickException("The demo application needs one more library. Run `pip install 'idp[demo]'`.")
    check_port("127.0.0.1", places.port, remedy=f"choose another one: idp demo --port {places.port + 100}")
    check_port(
        "127.0.0.1", places.application_port, remedy=f"choose another one: idp demo --app-port {places.port + 101}"
    )


def _children(settings: Settings, places: _Places, data: DemoData, log_file: Path) -> list[Child]:
    provider = {
        "IDP_ISSUER": places.issuer,
        "IDP_VAR_DIR": str(settings.var_dir.absolute()),
        "IDP_DATABASE_URL": settings.database_url,
        # The worker may post to this one address although it is no public one.
        "IDP_OUTBOUND_ALLOW": " ".join((*settings.outbound_allow, f"127.0.0.1:{places.application_port}")),
    }
    application = {
        "RP_NAME": "Demo application",
        "RP_PORT": str(places.application_port),
        "RP_BASE_URL": places.application,
        "RP_COOKIE_NAME": "demo_application_session",
        "RP_DATABASE": str((settings.var_dir / "demo_application.sqlite3").absolute()),
        "RP_CLIENT_ID": data.web_client_id,
        "RP_CLIENT_SECRET": data.web_client_secret,
        "OP_ISSUER": places.issuer,
        "PYTHONPATH": os.pathsep.join(part for part in (str(SOURCE), os.environ.get("PYTHONPATH")) if part),
    }
    server = server_command("gunicorn", host="127.0.0.1", port=places.port, workers=1, threads=8)
    return [
        Child("The provider", server, provider, log_file),
        Child("The worker", worker_command(), provider, log_file, restarts=True),
        Child("The demo application", [sys.executable, "-m", "examples.relying_party"], application, log_file),
    ]


def _wait_until_ready(supervisor: Supervisor, places: _Places, *, quiet: bool) -> bool:
    """True when both answer; False when a child ended, a signal came or the time is over."""
    addresses = [f"{places.issuer}/.well-known/openid-configuration", f"{places.application}/healthz"]
    deadline = time.monotonic() + START_SECONDS
    with click.progressbar(length=len(addresses), label="Starting", file=sys.stderr, hidden=quiet) as bar:
        while addresses:
            if _answers(addresses[0], places.issuer):
                addresses.pop(0)
                bar.update(1)
                continue
            supervisor.wait(0.1)
            if supervisor.is_stopping or supervisor.find_ended() or time.monotonic() > deadline:
                return False
    return True


def _answers(address: str, issuer: str) -> bool:
    # No proxy, whatever the environment says: these are addresses of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=5) as answer:
            body = answer.read(65536)
            return "openid-configuration" not in address or json.loads(body).get("issuer") == issuer
    except (OSError, ValueError, urllib.error.HTTPError):
        return False


def _as_json(places: _Places, data: DemoData, log_file: Path) -> dict[str, str]:
    return {
        "issuer": places.issuer,
        "application": places.application,
        "username": USERNAME,
        "email": EMAIL,
        "password": data.password,
        "web_client_id": data.web_client_id,
        "cli_client_id": data.cli_client_id,
        "log": str(log_file),
    }


def _story(places: _Places, data: DemoData, log_file: Path, settings: Settings) -> str:
    python = _shown(Path(sys.executable))
    tool = f"OP_ISSUER={places.issuer} CLI_CLIENT_ID={data.cli_client_id} {python} -m examples.cli_app"
    command = _shown(Path(sys.executable).with_name("idp"))
    folder = "" if settings.var_dir == Path("var") else f"IDP_VAR_DIR={settings.var_dir} "
    return f"""
The demo runs. Ctrl-C stops everything; the data stays in {settings.var_dir}/.

  Demo application    {places.application}
  Signed-in devices   {places.issuer}/account/sessions
  Sign in as          {USERNAME}
  Password            {data.password}

What to try
  1. Open {places.application} and sign in.
  2. In another terminal, in this folder, sign in with a command-line tool, as coding assistants do:
       {tool} login
       {tool} whoami
  3. Open {places.issuer}/account/sessions: the browser and the tool are both there.
     Choose "Sign out everywhere". The page shows that the application was told; the
     application and the tool (`whoami` again) both say that they were signed out.
  4. Sign in again, then end it as an administrator does:
       {folder}{command} sessions list --user {USERNAME}
       {folder}{command} sessions end --user {USERNAME} --all

What happens behind the scenes is written to {log_file}.
"""


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace").strip()
