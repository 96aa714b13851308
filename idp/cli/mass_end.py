"""`idp sessions end --everybody` and `--client`: an end for many people, in batches, with a progress bar.

Asks before it begins, since nothing brings a session back. Each batch is one transaction of fifty people: nobody waits
for the whole, and whoever interrupts it repeats the command.
"""

from dataclasses import replace
from datetime import datetime

import click

from idp.cli.context import OPERATOR, opened_services, plural, print_json
from idp.cli.lookup import get_client
from idp.db.models import EndReason
from idp.sessions import MassEnd, count_people, end_next_people
from idp.web.services import Services

BATCH = 50


def end_many(client_id: str | None, *, before: datetime | None, is_sure: bool, as_json: bool) -> None:
    """End everybody's sessions that began before the moment, or what everybody has with one application."""
    if as_json and not is_sure:
        raise click.UsageError("With --json nobody is asked: add --yes.")
    with opened_services() as services:
        now = services.clock.now()
        if before is not None and before > now:
            raise click.UsageError("--begun-before lies in the future.")
        before = before or now
        with services.database.reading() as tx:
            name = None if client_id is None else get_client(tx, client_id).name
            expected = count_people(tx, client_id=client_id, before=before, now=now)
        if expected and not is_sure:
            click.confirm(_question(name, expected), abort=True, err=True)
        done = _end_in_batches(services, client_id, before, expected=expected, hidden=as_json)
    if as_json:
        counts = {"people": done.people, "browsers": done.browsers, "apps": done.apps}
        parts = {"applications_parts": done.participations, "applications_to_tell": done.notices}
        print_json({"begun_before": before, **counts, **parts})
        return
    apps = plural(done.apps, "app or tool", "apps and tools")
    what = f"{plural(done.browsers, 'browser', 'browsers')}, {apps}"
    if name is not None:
        what = f"{plural(done.participations, 'sign-in', 'sign-ins')} to {name}"
    click.echo(f"Ended for {plural(done.people, 'person', 'people')}: {what}.")
    if done.notices:
        click.echo(
            f"{plural(done.notices, 'notice goes', 'notices go')} out to applications, as fast as the workers can."
        )
    click.echo(
        f"Access tokens die within {int(services.settings.access_token_lifetime.total_seconds()) // 60} minutes."
    )


def _question(name: str | None, people: int) -> str:
    who = plural(people, "person", "people")
    if name is None:
        return f"Sign out {who} everywhere, in every browser, app and tool?"
    return f"Sign out {who} of {name}?"


def _end_in_batches(
    services: Services, client_id: str | None, before: datetime, *, expected: int, hidden: bool
) -> MassEnd:
    total = MassEnd(last="")
    try:
        with click.progressbar(
            length=expected, label="Ending sessions", show_pos=True, hidden=hidden or not expected
        ) as bar:
            while total.last is not None:
                with services.database.transaction() as tx:
                    batch = end_next_people(
                        tx,
                        client_id=client_id,
                        before=before,
                        after=total.last,
                        reason=EndReason.ENDED_BY_ADMINISTRATOR,
                        actor=OPERATOR,
                        settings=services.settings,
                        now=services.clock.now(),
                        limit=BATCH,
                    )
                total = replace(
                    batch,
                    people=total.people + batch.people,
                    browsers=total.browsers + batch.browsers,
                    apps=total.apps + batch.apps,
                    participations=total.participations + batch.participations,
                    notices=total.notices + batch.notices,
                )
                bar.update(batch.people)
    except KeyboardInterrupt:
        again = "" if client_id else f" Repeat it with --begun-before {before:%Y-%m-%dT%H:%M:%S.%fZ}."
        raise click.ClickException(
            f"Interrupted after {plural(total.people, 'person', 'people')}, whose sessions are over.{again}"
        ) from None
    return total
