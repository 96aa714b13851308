"""`idp purge` and `idp db restored`: long work in short transactions, with a bar that shows how far it is."""

from datetime import datetime

import click

from idp.audit import record
from idp.cli.context import OPERATOR, Moment, json_option, opened_services, plural, print_json, print_table
from idp.retention import KINDS, count_people_live_since, end_live_since, invalidate_half_way, purge_batch
from idp.retention.memory import RESTORED
from idp.retention.purge import BATCH
from idp.web.services import Services

_PEOPLE = 50


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@click.option(
    "--batch",
    type=click.IntRange(1, 1000),
    default=BATCH,
    show_default=True,
    help="Rows per transaction: smaller ones are easier on a busy database.",
)
@json_option
def purge(dry_run: bool, batch: int, as_json: bool) -> None:
    """Delete what nothing needs any more: the worker does it daily, this does it now.

    IDP_HISTORY_LIFETIME and IDP_AUDIT_LIFETIME say how long things are kept. May be interrupted and repeated.
    """
    with opened_services() as services:
        due = _count_due(services)
        if not dry_run:
            due = _purge(services, due, batch=batch, hidden=as_json)
    if as_json:
        print_json({"dry_run": dry_run, "rows": due})
        return
    words = {kind.name: kind.words for kind in KINDS}
    rows = [{"what": words[name], "rows": count} for name, count in due.items() if count]
    print_table(rows, empty="There was nothing to delete." if not dry_run else "There is nothing to delete.")


def _count_due(services: Services) -> dict[str, int]:
    counts = {}
    now = services.clock.now()
    for kind in KINDS:
        with services.database.reading() as tx:
            counts[kind.name] = kind.count(tx, now, services.settings)
    return counts


def _purge(services: Services, due: dict[str, int], *, batch: int, hidden: bool) -> dict[str, int]:
    deleted = dict.fromkeys(due, 0)
    total = sum(due.values())
    with click.progressbar(length=total, label="Deleting", show_pos=True, hidden=hidden or not total) as bar:
        for kind in KINDS:
            while True:
                with services.database.transaction() as tx:
                    gone = purge_batch(tx, kind, settings=services.settings, now=services.clock.now(), limit=batch)
                deleted[kind.name] += gone
                bar.update(gone)
                if not gone:
                    break
    return deleted


@click.command()
@click.option(
    "--since",
    type=Moment(),
    required=True,
    help="When the restored back-up was made, or earlier: 2026-11-21T03:00:00Z.",
)
@json_option
def restored(since: datetime, as_json: bool) -> None:
    """End everything that a restored back-up may have revived. Run it before the service takes requests again.

    Ends every session that was live at that moment, tells the applications, and makes codes, requests put aside and
    tokens of services worthless. May be interrupted and repeated.
    """
    with opened_services() as services:
        if since > services.clock.now():
            raise click.UsageError("--since lies in the future. Give the moment at which the back-up was made.")
        half_way = _invalidate(services)
        people, sessions = _end_live(services, since, hidden=as_json)
        with services.database.transaction() as tx:  # at the end: nodes take it as the word that all is done
            details = {"since": since.isoformat(), "people": people, "sessions": sessions}
            record(tx, RESTORED, now=services.clock.now(), actor=OPERATOR.name, details=details)
    if as_json:
        print_json({"since": since, "people": people, "sessions": sessions, "half_way": half_way})
        return
    click.echo(f"Ended: {plural(sessions, 'session', 'sessions')} of {plural(people, 'person', 'people')}.")
    click.echo("The applications are told as soon as a worker runs.")
    click.echo(
        "What was changed after the back-up is forgotten. Do it again: disabled or deleted people and applications, "
        "new passwords, rotated client secrets, retired signing keys (`idp keys list`)."
    )


def _invalidate(services: Services) -> int:
    invalidated = 0
    while True:
        with services.database.transaction() as tx:
            batch = invalidate_half_way(tx, now=services.clock.now())
        if not batch:
            return invalidated
        invalidated += batch


def _end_live(services: Services, since: datetime, *, hidden: bool) -> tuple[int, int]:
    with services.database.reading() as tx:
        expected = count_people_live_since(tx, since=since, settings=services.settings)
    after, people, sessions = "", 0, 0
    with click.progressbar(
        length=expected, label="Ending sessions", show_pos=True, hidden=hidden or not expected
    ) as bar:
        while True:
            with services.database.transaction() as tx:
                last, batch, ended = end_live_since(
                    tx,
                    since=since,
                    after=after,
                    actor=OPERATOR,
                    settings=services.settings,
                    now=services.clock.now(),
                    limit=_PEOPLE,
                )
            if last is None:
                return people, sessions
            after, people, sessions = last, people + batch, sessions + ended
            bar.update(batch)
