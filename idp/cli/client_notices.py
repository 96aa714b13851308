"""`idp clients check | show-notice | inspect-token`: whether an application hears of sign-outs, for those who build it.

What an application answers beyond its status is shown to nobody, operators included: it may be anybody's page.
"""

import sys
from dataclasses import asdict
from typing import Any

import click

from idp.cli.context import json_option, opened_services, plural, print_json
from idp.cli.lookup import get_client
from idp.db.models import Client
from idp.kit.outbound import OutboundAnswer
from idp.logout.backchannel import send_notice
from idp.logout.inspect_token import MAXIMUM_LENGTH, inspect_logout_token
from idp.logout.sample_notice import sample_notice, shown_request
from idp.operation.checks import State
from idp.operation.diagnosis import check_logout_address
from idp.outbox import Outcome, failure_of
from idp.outbox.inspection import Health, count_dead, measure_health
from idp.web.services import Services
from idp.web.times import rough_length

_WORDS = {State.OK: "ok", State.WARNING: "warn", State.FAILED: "fail"}
_LATE = 3600.0


@click.command()
@click.argument("client_id")
@click.option("--send-test-notice", is_flag=True, help="Send a genuine notice about a session that never was.")
@json_option
def check(client_id: str, send_test_notice: bool, as_json: bool) -> None:
    """See whether an application can be told of sign-outs, and how that went lately. Exit status 1 when it can't."""
    with opened_services() as services:
        now = services.clock.now()
        with services.database.reading() as tx:
            client = get_client(tx, client_id)
            health = measure_health(tx, client_id=client_id, now=now)
            dead = count_dead(tx, client_id=client_id)
        lines = [_address(services, client), *_judged(health, dead, client_id)]
        if send_test_notice and client.backchannel_logout_uri is not None:
            lines.append(_test(services, client))
    is_good = all(state is not State.FAILED for _, state, _ in lines)
    if as_json:
        checks = [{"name": name, "state": _WORDS[state], "message": text} for name, state, text in lines]
        print_json({"client_id": client_id, "healthy": is_good, "checks": checks, "notices": _shown(health, dead)})
    else:
        for name, state, text in lines:
            click.echo(f"{_WORDS[state]:<5} {name:<12} {''.join(c if c.isprintable() else '?' for c in text)}")
    if not is_good:
        raise click.exceptions.Exit(1)


@click.command(name="show-notice")
@click.argument("client_id")
@json_option
def show_notice(client_id: str, as_json: bool) -> None:
    """Print the exact HTTP request of a notice, about a session that never was. Nothing is sent."""
    with opened_services() as services:
        with services.database.reading() as tx:
            client = get_client(tx, client_id)
        try:
            shown = shown_request(services, client, now=services.clock.now())
        except ValueError as error:
            remedy = f"`idp clients update {client_id} --backchannel-logout-uri …` registers one."
            raise click.ClickException(f"There is nothing to show: {error}. {remedy}") from None
    if as_json:
        print_json({"client_id": client_id, "request": shown.text, "logout_token": shown.token})
    else:
        click.echo(shown.text.replace("\r\n", "\n"))


@click.command(name="inspect-token")
@click.option("--client", "client_id", help="The client_id that the token should be for.")
@json_option
def inspect_token(client_id: str | None, as_json: bool) -> None:
    """Check a logout token from standard input, rule by rule. Exit status 1 when one is broken."""
    token = sys.stdin.read(MAXIMUM_LENGTH + 2).strip()
    if not token:
        raise click.UsageError("Give the token on standard input: idp clients inspect-token < token.txt")
    with opened_services() as services:
        findings = inspect_logout_token(
            token,
            keys=services.keys,
            issuer=services.settings.issuer,
            client_id=client_id,
            now=services.clock.now(),
        )
    is_good = all(finding.is_kept for finding in findings)
    if as_json:
        print_json({"valid": is_good, "rules": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{'ok' if finding.is_kept else 'fail':<5} {finding.rule}: {finding.says}")
    if not is_good:
        raise click.exceptions.Exit(1)


def _address(services: Services, client: Client) -> tuple[str, State, str]:
    if client.backchannel_logout_uri is None:
        remedy = f"`idp clients update {client.id} --backchannel-logout-uri …` where possible."
        if client.frontchannel_logout_uri is not None:
            # Front-Channel Logout §2: nothing but an open page carries it, and nobody hears whether it arrived.
            text = (
                "Only a front-channel one is registered: the browser that signs out is asked to open it, unconfirmed; "
                f"it hears nothing of what ends elsewhere, by time or by an operator. {remedy}"
            )
            return "address", State.WARNING, text
        return "address", State.WARNING, f"None is registered: it can't be told of sign-outs. {remedy}"
    found = check_logout_address(services, client)
    return "address", found.state, found.message


def _judged(health: Health, dead: int, client_id: str) -> list[tuple[str, State, str]]:
    if not health.looked_at:
        return [("notices", State.OK, "None was due yet.")]
    rate = health.error_rate
    lines = [
        (
            "notices",
            State.WARNING if rate else State.OK,
            f"Of the latest {health.looked_at:,}: {health.told:,} told, {health.dead:,} failed"
            + (f" (error rate {rate:.1%})." if rate is not None else "."),
        ),
        (
            "last success",
            State.OK if health.last_success_at else State.WARNING,
            f"{health.last_success_at:%Y-%m-%d %H:%M:%S} UTC." if health.last_success_at else "None yet.",
        ),
    ]
    if health.oldest_pending is not None:
        is_late = health.oldest_pending.total_seconds() > _LATE
        waiting = plural(health.pending, "notice waits", "notices wait")
        text = (
            f"{waiting}, {health.retrying} of them tried before; the oldest for {rough_length(health.oldest_pending)}."
        )
        lines.append(("queue", State.WARNING if is_late or health.retrying else State.OK, text))
    if health.last_failure_at is not None:
        text = f"{health.last_failure_at:%Y-%m-%d %H:%M:%S} UTC: {health.last_failure}."
        lines.append(("last failure", State.OK if not rate and not health.retrying else State.WARNING, text))
    if dead:
        remedy = f"`idp deliveries redeliver --client {client_id} --dead` tries them anew."
        lines.append(("dead", State.WARNING, f"{plural(dead, 'notice', 'notices')} never arrived. {remedy}"))
    return lines


def _test(services: Services, client: Client) -> tuple[str, State, str]:
    outcome: Outcome = send_notice(services, sample_notice(client, now=services.clock.now()))
    if isinstance(outcome, OutboundAnswer) and 200 <= outcome.status <= 299:
        return "test notice", State.OK, f"Answered {outcome.status}, as it should for a session that never was."
    if isinstance(outcome, OutboundAnswer) and outcome.status == 400:
        text = (
            "Answered 400: it refuses a good token. `idp clients show-notice` prints one, `inspect-token` explains it."
        )
        return "test notice", State.FAILED, text
    return "test notice", State.FAILED, f"Not told: {failure_of(outcome)}."


def _shown(health: Health, dead: int) -> dict[str, Any]:
    oldest = health.oldest_pending
    return {
        "looked_at": health.looked_at,
        "told": health.told,
        "failed": health.dead,
        "pending": health.pending,
        "retrying": health.retrying,
        "error_rate": health.error_rate,
        "last_success_at": health.last_success_at,
        "last_failure_at": health.last_failure_at,
        "last_failure": health.last_failure,
        "oldest_pending_seconds": int(oldest.total_seconds()) if oldest is not None else None,
        "dead": dead,
    }
