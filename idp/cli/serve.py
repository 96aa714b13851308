"""`idp serve` and `idp worker`: the web server (gunicorn or granian), and the worker beside it.

One machine runs `idp serve`, which starts both; many nodes run `idp serve --without-worker` and `idp worker` as their
service manager likes. Everything that can be wrong is looked for before anything starts.
"""

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import click

from idp.cli.context import opened_services
from idp.cli.supervisor import Child, Supervisor
from idp.cli.waiting import wait_for_database
from idp.kit.logs import configure_logs
from idp.kit.run_folder import RunFolder, metrics_folder
from idp.settings import Settings
from idp.web.services import Services

DEFAULT_PORT = 9000
SERVERS = ("gunicorn", "granian")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - not for a file of ours

# What granian says itself passes through our pipeline too: `idp.cli.granian_hooks`.
_GRANIAN_LOGS = Path(__file__).with_name("granian_logs.json")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: the issuer's, else 9000]")
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Server processes.")
@click.option("--threads", type=click.IntRange(1, 256), default=8, show_default=True, help="Threads in each.")
@click.option("--server", type=click.Choice(SERVERS), default="gunicorn", show_default=True)
@click.option("--without-worker", is_flag=True, help="Only the web server; run `idp worker` elsewhere.")
def serve(host: str, port: int | None, workers: int, threads: int, server: str, without_worker: bool) -> None:
    """Run the web server and a worker until Ctrl-C."""
    with opened_services(_prepare) as services:
        settings = services.settings
        services.keys.signer("ES256", services.clock.now())
    port = port or port_of_issuer(settings) or DEFAULT_PORT
    command = server_command(server, host=host, port=port, workers=workers, threads=threads)
    check_port(host, port, remedy="choose another one with --port")
    if settings.metrics_address:
        check_port(*settings.metrics_address, remedy="change IDP_METRICS_LISTEN")
    if settings.is_loopback_http and port_of_issuer(settings) != port:
        click.echo(
            f"Note: applications will look for {settings.issuer}, but this server listens on port {port}. "
            f"Set IDP_ISSUER=http://localhost:{port} unless something forwards to it.",
            err=True,
        )
    click.echo(f"Serving {settings.issuer} on {host}:{port}. Ctrl-C stops.", err=True)
    children = [Child("server", command)]
    if not without_worker:
        children.append(Child("worker", worker_command(), restarts=True))
    if not _run_together(services, children):
        raise click.ClickException("The web server ended; its last lines above say why.")


def _run_together(services: Services, children: Sequence[Child]) -> bool:
    """Run the children until they are told to stop; False when the server ended by itself."""
    settings, folder = services.settings, RunFolder()
    supervisor = Supervisor([replace(child, environment=folder.environment) for child in children])
    try:
        with _metrics_listener(services, folder.metrics):
            supervisor.start()
            was_asked = supervisor.wait()
            folder.mark_draining()
            if was_asked and supervisor.was_terminated:
                supervisor.linger(settings.drain_lifetime.total_seconds())
            supervisor.stop()
    finally:
        folder.remove()
        services.database.engine.dispose()
    return was_asked


@contextmanager
def _metrics_listener(services: Services, folder: Path | None) -> Iterator[None]:
    """The separate listener for metrics while the block runs, if the settings ask for one."""
    address = services.settings.metrics_address
    if address is None:
        yield
        return
    # Late: it takes time, and prometheus_client looks at the environment when it is imported.
    from idp.operation.exposition import Exposition
    from idp.operation.listener import MetricsListener

    exposition = Exposition(services, folder=folder)
    listener = MetricsListener(address, exposition.render, services.settings.metrics_token)
    listener.start()
    try:
        yield
    finally:
        listener.stop()


def _prepare(services: Services) -> None:
    """Logs first: waiting for the database is told in them."""
    configure(services.settings)
    wait_for_database(services)


def configure(settings: Settings) -> None:
    """Set up logging for this process."""
    configure_logs(settings.log_level, layout=settings.log_format, known_secrets=settings.secret_texts())


@click.command()
def worker() -> None:
    """Deliver logout notices and end expired sessions, until Ctrl-C. As many may run as you like."""
    from idp.worker import Worker

    with opened_services(_prepare) as services:
        running = Worker(services)
        signals = 0

        def stop(_number: int, _frame: object) -> None:
            nonlocal signals
            signals += 1
            if signals > 1:  # whoever asks twice means now; leases run out by themselves
                os._exit(1)
            running.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # Beside a server, the listener is that of `idp serve`, which knows the numbers of all.
        with nullcontext() if metrics_folder() else _metrics_listener(services, None):
            running.run()


def worker_command() -> list[str]:
    """The command line of a worker as a child process."""
    return [sys.executable, "-m", "idp.cli", "worker"]


def server_command(server: str, *, host: str, port: int, workers: int, threads: int) -> list[str]:
    """The command line of a web server. Raises `ClickException` when it isn't installed."""
    if find_spec(server) is None:
        raise click.ClickException(
            f"{server} is not installed. Run `pip install 'idp[{server}]'`, or use --server gunicorn."
        )
    if server == "granian":
        return [
            *(sys.executable, "-m", "granian"),
            *("--interface", "wsgi", "--http", "1", "--no-ws"),
            *("--host", host, "--port", str(port), "--workers", str(workers), "--blocking-threads", str(threads)),
            *("--respawn-failed-workers", "--workers-kill-timeout", "30"),
            *("--log-level", "warning", "--log-config", str(_GRANIAN_LOGS)),
            "idp.wsgi:app",
        ]
    shared_memory = ("--worker-tmp-dir", str(_SHARED_MEMORY)) if os.access(_SHARED_MEMORY, os.W_OK) else ()
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [
        *(sys.executable, "-m", "gunicorn"),
        *("-c", "python:idp.cli.gunicorn_hooks", "--logger-class", "idp.cli.gunicorn_hooks.HouseLogger"),
        *("--bind", bind, "--workers", str(workers), "--threads", str(threads)),
        # Slow clients wait without a thread. A process may usually have 1024 files open.
        *("--worker-class", "idp.cli.gunicorn_worker.PatientWorker", "--worker-connections", "800"),
        # Requests with ID tokens as hints and long claims; its default of 4094 cuts them off (lesson 7).
        *("--limit-request-line", "8190"),
        *("--keep-alive", "15", "--graceful-timeout", "30", "--no-control-socket", "--log-level", "warning"),
        *shared_memory,
        "idp.wsgi:app",
    ]


def port_of_issuer(settings: Settings) -> int | None:
    """The port in a loopback issuer, which is the one to listen on; None for a public one, behind a proxy."""
    return urlsplit(settings.issuer).port if settings.is_loopback_http else None


def check_port(host: str, port: int, *, remedy: str) -> None:
    """Raise `ClickException` when nothing can listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise click.ClickException(f"{host} is not an address of this machine. Try --host 127.0.0.1.") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise click.ClickException(
                    f"Port {port} on {host} is in use by another program. Stop that one, or {remedy}."
                ) from None
            raise click.ClickException(f"Can't listen on {host}:{port}: {error.strerror}; {remedy}.") from None
