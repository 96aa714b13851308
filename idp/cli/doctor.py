"""`idp doctor`: everything that an operator would look at, in one list, each line with what to do about it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import click

from idp.cli.context import json_option, print_json, settings_of_installation
from idp.cli.errors import explain
from idp.clients import list_clients
from idp.operation.checks import Check, State, check_node
from idp.operation.diagnosis import (
    check_issuer,
    check_logout_address,
    check_proxies,
    check_untold,
    explain_address,
    judge_proxies,
)
from idp.web.services import Services, build_services

_AT_ONCE = 8
_WORDS = {State.OK: "ok", State.WARNING: "warn", State.FAILED: "fail"}


@click.command()
@click.option("--peer", help="Explain whose address is seen when a request comes from this one …")
@click.option("--forwarded-for", default="", help="… with this X-Forwarded-For.")
@click.option("--offline", is_flag=True, help="Reach out to nobody: neither to the public address nor to applications.")
@json_option
def doctor(peer: str | None, forwarded_for: str, offline: bool, as_json: bool) -> None:
    """Look at settings, database, clock, keys, worker, public address, proxies and applications.

    Exit status 1 when something is broken; warnings alone leave it 0.
    """
    if forwarded_for and peer is None:
        raise click.UsageError("--forwarded-for needs --peer: the address that the request comes from.")
    services = build_services(settings_of_installation())
    found: list[Check] = []
    try:
        for check in _look(services, peer, forwarded_for, offline=offline):
            found.append(check)
            if not as_json:
                click.echo(f"{_WORDS[check.state]:<5} {check.name:<15} {_printable(check.message)}")
    finally:
        services.database.engine.dispose()
    if as_json:
        rows = [{"name": check.name, "state": _WORDS[check.state], "message": check.message} for check in found]
        print_json({"healthy": _is_healthy(found), "checks": rows})
    if not _is_healthy(found):
        raise click.exceptions.Exit(1)


def _is_healthy(found: Iterable[Check]) -> bool:
    return all(check.state is not State.FAILED for check in found)


def _look(services: Services, peer: str | None, forwarded_for: str, *, offline: bool) -> Iterator[Check]:
    """All checks, none of which keeps another from being made."""
    now = services.clock.now()
    yield Check("settings", State.OK, "They are complete and agree with each other.")
    has_tables = True
    for check in _guarded("database", lambda: check_node(services)):
        has_tables = has_tables and not (check.name in {"database", "schema"} and check.state is State.FAILED)
        yield check
    if not offline:
        yield from _guarded("issuer", lambda: check_issuer(services.settings, now))
    if has_tables:
        yield from _guarded("proxies", lambda: iter([check_proxies(services, now)]))
        yield from _guarded("logout address", lambda: _look_at_applications(services, offline=offline))
    else:
        yield judge_proxies(services.settings, [])
    if peer is not None:
        yield explain_address(services.settings, peer, forwarded_for)


def _guarded(name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        yield Check(name, State.FAILED, sentence)


def _look_at_applications(services: Services, *, offline: bool) -> Iterator[Check]:
    with services.database.reading() as tx:
        clients = [client for client in list_clients(tx) if client.disabled_at is None]
    told = [client for client in clients if client.backchannel_logout_uri is not None]
    if not offline:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from pool.map(lambda client: check_logout_address(services, client), told)
    if untold := check_untold(clients):
        yield untold


def _printable(text: str) -> str:
    """Names and reasons come from outside; they must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
