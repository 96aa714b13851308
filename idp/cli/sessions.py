"""`idp sessions list` and `idp sessions end`: what an administrator does when somebody's access must stop now."""

from datetime import datetime
from typing import Any

import click

from idp.cli.context import OPERATOR, Moment, json_option, opened_services, print_json, print_table
from idp.cli.ended import print_ended
from idp.cli.lookup import get_user
from idp.cli.mass_end import end_many
from idp.db.models import EndReason
from idp.sessions import DeviceRow, end_everything, end_sessions, list_devices
from idp.web.services import Services

_PAGE = 200
_user_option = click.option("--user", "user_name", required=True, help="E-mail address, username or sub.")


@click.group()
def sessions() -> None:
    """List and end sign-ins."""


@sessions.command(name="list")
@_user_option
@json_option
def list_(user_name: str, as_json: bool) -> None:
    """List where a person is signed in."""
    with opened_services() as services:
        rows = [_shown(row) for row in _find_all(services, user_name)]
    if as_json:
        print_json(rows)
    else:
        columns = ("session", "kind", "what", "ip_address", "signed_in_at", "last_active_at")
        print_table([{name: row[name] for name in columns} for row in rows], empty="Not signed in anywhere.")


@sessions.command()
@click.option("--user", "user_name", help="E-mail address, username or sub; with --all or --session.")
@click.option("--everybody", is_flag=True, help="Of everybody: all browsers, apps and tools.")
@click.option("--client", "client_id", help="Of everybody, what this application has; browsers stay signed in.")
@click.option("--begun-before", type=Moment(), help="With --everybody: only what began before; to go on after a stop.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask first.")
@click.option("--all", "everything", is_flag=True, help="Every browser, app and tool, and everything half-way.")
@click.option(
    "--session", "session_ids", multiple=True, help="This session, as `idp sessions list` names it. Repeatable."
)
@json_option
def end(
    user_name: str | None,
    everybody: bool,
    client_id: str | None,
    begun_before: datetime | None,
    is_sure: bool,
    everything: bool,
    session_ids: tuple[str, ...],
    as_json: bool,
) -> None:
    """End a person's sessions, or everybody's. They are dead when this returns; the worker tells the applications."""
    if (user_name is not None) + everybody + (client_id is not None) != 1:
        raise click.UsageError("Say whose: --user, --everybody or --client, one of them.")
    if begun_before is not None and not everybody:
        raise click.UsageError("--begun-before goes with --everybody.")
    if user_name is None:
        if everything or session_ids:
            raise click.UsageError("--all and --session go with --user.")
        end_many(client_id, before=begun_before, is_sure=is_sure, as_json=as_json)
        return
    if everything == bool(session_ids):
        raise click.UsageError("Give either --all or --session.")
    with opened_services() as services:
        now = services.clock.now()
        with services.database.transaction() as tx:
            user = get_user(tx, user_name)
            if everything:
                ended = end_everything(
                    tx,
                    user_id=user.id,
                    except_session_id=None,
                    reason=EndReason.ENDED_BY_ADMINISTRATOR,
                    actor=OPERATOR,
                    settings=services.settings,
                    now=now,
                )
            else:
                ended = end_sessions(
                    tx,
                    user_id=user.id,
                    session_ids=session_ids,
                    reason=EndReason.ENDED_BY_ADMINISTRATOR,
                    actor=OPERATOR,
                    settings=services.settings,
                    now=now,
                )
                if ended.browsers + ended.apps < len(set(session_ids)):
                    # Raised inside the transaction: nothing half done.
                    raise click.ClickException(
                        "Not every one of these is a live session of that person, so none was ended. "
                        "`idp sessions list` shows the live ones."
                    )
    print_ended(ended, as_json=as_json)


def _find_all(services: Services, user_name: str) -> list[DeviceRow]:
    rows: list[DeviceRow] = []
    now = services.clock.now()
    with services.database.reading() as tx:
        user = get_user(tx, user_name)
        for kind in ("browsers", "apps"):
            cursor: str | None = None
            while True:
                page = list_devices(
                    tx,
                    user_id=user.id,
                    current_session_id="",
                    now=now,
                    policy=services.policy,
                    page_size=_PAGE,
                    **{f"{kind}_after": cursor},
                )
                rows += getattr(page, kind)
                cursor = getattr(page, f"next_{kind}")
                if cursor is None:
                    break
    return rows


def _shown(row: DeviceRow) -> dict[str, Any]:
    what = row.client_name or row.agent_name
    return {
        "session": row.session_id,
        "kind": row.kind,
        "what": " on ".join(part for part in (what, row.os_name or row.device_name) if part),
        "ip_address": row.ip_address,
        "signed_in_at": row.started_at,
        "last_active_at": row.last_active_at,
        "applications": list(row.applications),
    }
