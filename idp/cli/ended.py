"""What a command says of the sessions that it ended."""

from typing import Any

import click

from idp.cli.context import plural, print_json
from idp.sessions import Ended


def print_ended(ended: Ended, *, as_json: bool) -> None:
    """What ended and who is told, as JSON or in sentences."""
    if as_json:
        print_json(shown_ended(ended))
    elif not ended.browsers and not ended.apps:
        click.echo("There was nothing to end: not signed in anywhere.")
    else:
        say_ended(ended)


def say_ended(ended: Ended) -> None:
    """The sentences alone; nothing when nothing ended."""
    if not ended.browsers and not ended.apps:
        return
    browsers, apps = plural(ended.browsers, "browser", "browsers"), plural(ended.apps, "app or tool", "apps and tools")
    click.echo(f"Ended: {browsers}, {apps}.")
    if ended.deliveries:
        told = plural(ended.deliveries, "notice goes", "notices go")
        click.echo(f"{told} out to applications now, if a worker runs.")
    if ended.access_expires_at:
        click.echo(f"The last access token dies at {ended.access_expires_at:%H:%M:%S} UTC.")


def shown_ended(ended: Ended) -> dict[str, Any]:
    """For `--json`."""
    return {
        "event_id": ended.event_id,
        "browsers": ended.browsers,
        "apps": ended.apps,
        "applications_to_tell": ended.deliveries,
        "access_expires_at": ended.access_expires_at,
    }
