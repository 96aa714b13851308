"""`idp policy sign-in-again`: what rests on sign-ins older than a moment is over, for a person, an application or all.

The moment is committed first, from which every check refuses; the ends are written down after it.
"""

from datetime import datetime

import click

from idp.cli.context import OPERATOR, Moment, json_option, opened_services, plural, print_json
from idp.cli.ended import say_ended, shown_ended
from idp.cli.lookup import get_client, get_user
from idp.policy import ask_for_sign_in
from idp.sessions import end_older_of_client, end_older_of_user
from idp.web.services import Services

_BATCH = 50


@click.command(name="sign-in-again")
@click.option("--user", "user_name", help="This person: e-mail address, username or sub.")
@click.option("--client", "client_id", help="Whoever uses this application, by its client_id; there alone.")
@click.option("--everyone", is_flag=True, help="Everybody, everywhere. It can't be taken back.")
@click.option("--since", type=Moment(), help="Sign-ins older than this moment (default: now).")
@json_option
def sign_in_again(
    user_name: str | None, client_id: str | None, everyone: bool, since: datetime | None, as_json: bool
) -> None:
    """Ask for a new sign-in: whatever rests on one older than the moment is over, and says why."""
    if [bool(user_name), bool(client_id), everyone].count(True) != 1:
        raise click.UsageError("Give one of --user, --client and --everyone.")
    with opened_services() as services:
        now = services.clock.now()
        since = since or now
        if since > now:
            raise click.UsageError("--since lies in the future: nobody could sign in until then.")
        if user_name:
            _of_user(services, user_name, since, now, as_json=as_json)
        elif client_id:
            _of_client(services, client_id, since, now, as_json=as_json)
        else:
            _of_everyone(services, since, now, as_json=as_json)


def _of_user(services: Services, user_name: str, since: datetime, now: datetime, *, as_json: bool) -> None:
    with services.database.transaction() as tx:
        user = get_user(tx, user_name)
        ended = end_older_of_user(tx, user_id=user.id, since=since, actor=OPERATOR, settings=services.settings, now=now)
    if as_json:
        print_json({"whom": "user", "since": since, "ended": shown_ended(ended)})
    elif not ended.browsers and not ended.apps:
        click.echo("Nothing rests on an older sign-in of that person.")
    else:
        say_ended(ended)


def _of_client(services: Services, client_id: str, since: datetime, now: datetime, *, as_json: bool) -> None:
    with services.database.transaction() as tx:
        name = get_client(tx, client_id).name
        has_changed = ask_for_sign_in(tx, since=since, client_id=client_id, actor=OPERATOR.name, now=now)
    # Also when it was said before: whoever interrupted this repeats it.
    people = notices = 0
    after: str | None = ""
    while after is not None:
        with services.database.transaction() as tx:
            batch = end_older_of_client(
                tx,
                client_id=client_id,
                since=since,
                after=after,
                actor=OPERATOR,
                settings=services.settings,
                now=services.clock.now(),
                limit=_BATCH,
            )
        people, notices = people + batch.people, notices + batch.notices
        after = batch.last
    if as_json:
        counts = {"people": people, "applications_to_tell": notices}
        print_json({"whom": "client", "client_id": client_id, "since": since, "changed": has_changed, **counts})
        return
    click.echo(f"{name} takes no sign-in older than {_shown(since)} any more: at once, on every node.")
    if people:
        click.echo(f"{plural(people, 'person was', 'people were')} signed out of it.")
    if notices:
        click.echo(f"{plural(notices, 'notice goes', 'notices go')} out to it now, if a worker runs.")


def _of_everyone(services: Services, since: datetime, now: datetime, *, as_json: bool) -> None:
    with services.database.transaction() as tx:
        has_changed = ask_for_sign_in(tx, since=since, client_id=None, actor=OPERATOR.name, now=now)
    if as_json:
        print_json({"whom": "everyone", "since": since, "changed": has_changed})
    elif not has_changed:
        click.echo(f"Everybody was asked for a sign-in newer than {_shown(since)} already. Nothing was changed.")
    else:
        click.echo(f"Every sign-in older than {_shown(since)} is over: at once, on every node.")
        click.echo("A worker writes the ends down and tells the applications; it begins within a minute.")


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
