"""/account/sessions: every browser, app and tool that is signed in, and what ended lately. Reads only.

Four statements whatever the number of sessions: one for the cookie, three for the lists (lesson 20).
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from flask import Response, request

from idp import web
from idp.account.desk import blueprint
from idp.account.door import signed_in
from idp.account.shown import (
    ShownEnded,
    ShownList,
    ShownSession,
    shown_ended,
    shown_sessions,
)
from idp.sessions import CurrentSession, list_devices
from idp.web.notices import take_notice
from idp.web.views import person_card

_CURSORS = ("browsers", "apps", "ended")


@blueprint.get("/account")
@signed_in
def show_account(_session: CurrentSession) -> Response:
    """The account page has no page of its own yet: the devices are what people come for."""
    return web.see_other(web.own_url("/account/sessions"))


@blueprint.get("/account/sessions")
@signed_in
def show_sessions(session: CurrentSession) -> Response:
    """The page "Signed-in devices"."""
    services = web.current_services()
    now = services.clock.now()
    cursors = {name: request.args[name] for name in _CURSORS if request.args.get(name)}
    with services.database.reading() as tx:
        page = list_devices(
            tx,
            user_id=session.user_id,
            current_session_id=session.id,
            now=now,
            policy=services.policy,
            browsers_after=cursors.get("browsers"),
            apps_after=cursors.get("apps"),
            ended_after=cursors.get("ended"),
        )
    browsers: ShownList[ShownSession] = ShownList(
        rows=shown_sessions(page.browsers),
        total=page.browser_count,
        next_path=_path(cursors, "browsers", page.next_browsers) if page.next_browsers else None,
        first_path=_path(cursors, "browsers", None) if "browsers" in cursors else None,
    )
    apps: ShownList[ShownSession] = ShownList(
        rows=shown_sessions(page.apps),
        total=page.app_count,
        next_path=_path(cursors, "apps", page.next_apps) if page.next_apps else None,
        first_path=_path(cursors, "apps", None) if "apps" in cursors else None,
    )
    ended: ShownList[ShownEnded] = ShownList(
        rows=shown_ended(page.recently_ended, now=now),
        next_path=_path(cursors, "ended", page.next_ended) if page.next_ended else None,
        first_path=_path(cursors, "ended", None) if "ended" in cursors else None,
    )
    return web.page(
        "account_sessions.html",
        tab="sessions",
        person=person_card(session),
        notice=take_notice(),
        browsers=browsers,
        apps=apps,
        ended=ended,
        others=page.browser_count + page.app_count > 1,
    )


def _path(cursors: Mapping[str, str], name: str, cursor: str | None) -> str:
    """The address of this page with one section moved; the others stay where they are."""
    moved = {key: value for key, value in cursors.items() if key != name}
    if cursor is not None:
        moved[name] = cursor
    query = f"?{urlencode(moved)}" if moved else ""
    return web.own_url(f"/account/sessions{query}#{name}")
