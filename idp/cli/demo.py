"""`idp demo`: the whole story on one machine, with one command, stopped by Ctrl-C.

Starts the provider, its worker, two applications and a mail catcher, all reachable from this machine only. Runs on the
embedded database only, because it makes people whose passwords it prints.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import click

import idp
from idp.cli import demo_settings, demo_story
from idp.cli.context import json_option, print_json
from idp.cli.database import initialize
from idp.cli.demo_data import SHOP, WIKI, DemoData, prepare
from idp.cli.demo_story import Places
from idp.cli.serve import check_port, server_command, worker_command
from idp.cli.supervisor import Child, Supervisor
from idp.settings import Settings
from idp.web.services import build_services

SOURCE = Path(idp.__file__).resolve().parents[1]
START_SECONDS = 60.0
_TAIL_BYTES = 4000


def _port_option(name: str, default: int, whose: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    kind = click.IntRange(1, 65535)
    return click.option(name, type=kind, default=default, show_default=True, help=f"The port of {whose}.")


@click.command()
@_port_option("--port", 9000, "the provider")
@_port_option("--app-port", 9001, "the first application")
@_port_option("--second-app-port", 9002, "the second application")
@_port_option("--mail-port", 9003, "the page with the caught mail")
@_port_option("--smtp-port", 9004, "the mail server that catches it")
@json_option
def demo(port: int, app_port: int, second_app_port: int, mail_port: int, smtp_port: int, as_json: bool) -> None:
    """Start provider, worker, two applications and a mail catcher; prints addresses, credentials and what to try.

    A second start keeps the data. Remove the folder var/ to begin anew.
    """
    places = Places(port, app_port, second_app_port, mail_port, smtp_port)
    settings = demo_settings.load(places.issuer)
    _check(settings, places)
    initialize(settings)
    services = build_services(settings)
    try:
        data = prepare(services, wiki_url=places.wiki, shop_url=places.shop, folder=settings.var_dir)
    finally:
        services.database.engine.dispose()
    log_file = settings.var_dir / "demo.log"
    log_file.write_bytes(b"")
    decided = demo_settings.decided(settings, places)
    config = demo_settings.write(decided, settings.var_dir)
    supervisor = Supervisor(_children(settings, places, data, demo_settings.as_environment(decided), log_file))
    supervisor.start()
    try:
        if _wait_until_ready(supervisor, places, quiet=as_json):
            if as_json:
                print_json(demo_story.as_json(places, data, config, log_file))
            else:
                click.echo(demo_story.tell(places, data, settings.var_dir, config, log_file))
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


def _check(settings: Settings, places: Places) -> None:
    if not settings.is_sqlite:
        raise click.ClickException(
            "The demo makes people with printed passwords, so it runs on the embedded database only. "
            "Unset IDP_DATABASE_URL for it."
        )
    if settings.smtp_host or settings.smtp_username or settings.smtp_password is not None:
        raise click.ClickException(
            "The demo catches its own mail, so that none leaves this machine. "
            "Unset IDP_SMTP_HOST, IDP_SMTP_USERNAME and IDP_SMTP_PASSWORD for it."
        )
    if not (SOURCE / "examples" / "relying_party").is_dir():
        raise click.ClickException("The demo applications are part of the source tree: run `make demo` there.")
    if find_spec("requests") is None:
        raise click.ClickException("The demo applications need one more library. Run `pip install 'idp[demo]'`.")
    taken: dict[int, str] = {}
    for option, port in places.options.items():
        if port in taken:
            raise click.ClickException(f"{taken[port]} and {option} are both {port}. Choose different ports.")
        taken[port] = option
    for option, port in places.options.items():
        other = port + 100 if port + 100 <= 65535 else port - 100
        check_port("127.0.0.1", port, remedy=f"choose another one: idp demo {option} {other}")


def _children(
    settings: Settings, places: Places, data: DemoData, provider: Mapping[str, str], log_file: Path
) -> list[Child]:
    folder = settings.var_dir.absolute()
    wiki = {
        "RP_NAME": WIKI,
        "RP_PORT": str(places.wiki_port),
        "RP_BASE_URL": places.wiki,
        # Cookies know no ports, so each application has a name of its own. These two are as old as the demo.
        "RP_COOKIE_NAME": "demo_application_session",
        "RP_DATABASE": str(folder / "demo_application.sqlite3"),
        "RP_CLIENT_ID": data.web_client_id,
        "RP_CLIENT_SECRET": data.web_client_secret,
    }
    shop = {
        "RP_NAME": SHOP,
        "RP_PORT": str(places.shop_port),
        "RP_BASE_URL": places.shop,
        "RP_COOKIE_NAME": "demo_shop_session",
        "RP_DATABASE": str(folder / "demo_shop.sqlite3"),
        "RP_CLIENT_ID": data.second_web_client_id,
        "RP_CLIENT_SECRET": data.second_web_client_secret,
    }
    example = {
        "OP_ISSUER": places.issuer,
        "PYTHONPATH": os.pathsep.join(part for part in (str(SOURCE), os.environ.get("PYTHONPATH")) if part),
    }
    ports = ("--smtp-port", str(places.smtp_port), "--page-port", str(places.mail_port))
    catcher = [sys.executable, "-m", "examples.mail_catcher", *ports, "--folder", str(folder / "mail")]
    application = [sys.executable, "-m", "examples.relying_party"]
    server = server_command("gunicorn", host="127.0.0.1", port=places.port, workers=1, threads=8)
    return [
        Child("The provider", server, provider, log_file),
        Child("The worker", worker_command(), provider, log_file, restarts=True),
        Child(WIKI, application, example | wiki, log_file),
        Child(SHOP, application, example | shop, log_file),
        Child("The mail catcher", catcher, example, log_file),
    ]


def _wait_until_ready(supervisor: Supervisor, places: Places, *, quiet: bool) -> bool:
    """True when all answer; False when a child ended, a signal came or the time is over."""
    addresses = [f"{address}/healthz" for address in (places.wiki, places.shop, places.mail)]
    addresses.append(f"{places.issuer}/.well-known/openid-configuration")
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


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace").strip()
