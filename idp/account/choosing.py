"""Ending what a person has chosen: ticked rows, a browser with what it approved, what lies unused, one application.

A GET shows what would end, by names and counts, and changes nothing; the form on that page does it. The choice travels
in the address and the form, never in the browser's cookie, and is asked again under the locks: ids of others, of ended
sessions and of this browser end nothing (I13).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from flask import Response, request
from sqlalchemy import ColumnElement
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from idp import web
from idp.account.desk import blueprint
from idp.account.door import acting, signed_in
from idp.account.ending import after, counted, receipt_link, to_list
from idp.account.shown import ShownEnd, shown_end
from idp.clients import find_client
from idp.db.models import EndReason
from idp.kit.identifiers import is_identifier
from idp.sessions import (
    CurrentSession,
    Ended,
    chosen,
    end_chosen,
    end_client_for_user,
    preview_end,
    preview_end_client,
    tools_of,
    unused_since,
)
from idp.web.notices import leave_notice
from idp.web.views import Link, person_card

MAXIMUM_SELECTED = 100
UNUSED_FOR_DAYS = (7, 30, 90)
USUAL_DAYS = 30


@blueprint.get("/account/sessions/end-selected")
@signed_in
def ask_end_selected(session: CurrentSession) -> Response:
    """The question before the ticked rows, or a browser with the tools that it approved, are signed out."""
    services = web.current_services()
    ids, with_tools = _ticked(request.args)
    now = services.clock.now()
    with services.database.reading() as tx:
        preview = preview_end(
            tx,
            user_id=session.user_id,
            which=chosen(ids, with_tools=with_tools, keep=session.id),
            now=now,
            policy=services.policy,
            named=True,
        )
        tools = preview_end(tx, user_id=session.user_id, which=tools_of(ids), now=now, policy=services.policy).apps
    if not preview.browsers + preview.apps:
        return _nothing_left(ids)
    is_own_branch = ids == [session.id]  # this browser stays: without what it approved there is nothing to ask
    other = [("session", text) for text in ids] + ([] if with_tools else [("with_tools", "yes")])
    return _question(
        session,
        title="Sign out what this browser approved" if is_own_branch else "Sign out the chosen ones",
        lead="",
        action="/account/sessions/end-selected",
        hidden=[("session", text) for text in ids] + ([("with_tools", "yes")] if with_tools else []),
        plan=shown_end(preview, services.settings),
        tools=0 if is_own_branch else tools,
        with_tools=with_tools,
        other_path=web.own_url(f"/account/sessions/end-selected?{urlencode(other)}"),
    )


@blueprint.post("/account/sessions/end-selected")
@signed_in
def end_selected(session: CurrentSession) -> Response:
    """End the ticked ones, with the tools that they approved if that was chosen."""
    ids, with_tools = _ticked(request.form)
    ended = _end(session, chosen(ids, with_tools=with_tools, keep=session.id), web.current_services().clock.now())
    return _nothing_left(ids) if ended.event_id is None else _said(ended)


@blueprint.get("/account/sessions/end-unused")
@signed_in
def ask_end_unused(session: CurrentSession) -> Response:
    """The question before everything that was not used for some time is signed out."""
    services = web.current_services()
    days = _days(request.args.get("days"))
    now = services.clock.now()
    with services.database.reading() as tx:
        preview = preview_end(
            tx,
            user_id=session.user_id,
            which=unused_since(now - timedelta(days=days), keep=session.id),
            now=now,
            policy=services.policy,
            named=True,
        )
    return _question(
        session,
        title=f"Sign out what was not used for {days} days",
        lead="This browser is not among it.",
        action="/account/sessions/end-unused",
        hidden=[("days", str(days))],
        plan=shown_end(preview, services.settings),
        choices=tuple(
            Link(f"{choice} days", "" if choice == days else web.own_url(f"/account/sessions/end-unused?days={choice}"))
            for choice in UNUSED_FOR_DAYS
        ),
    )


@blueprint.post("/account/sessions/end-unused")
@signed_in
def end_unused(session: CurrentSession) -> Response:
    """End everything that was not used for so many days; what was used since the question stays."""
    days = _days(request.form.get("days"))
    if request.form.getlist("days") != [str(days)]:
        raise BadRequest("Say for how many days, as the question before it does.")
    now = web.current_services().clock.now()
    ended = _end(session, unused_since(now - timedelta(days=days), keep=session.id), now)
    if ended.event_id is None:
        leave_notice(f"Everything was used within {days} days.", tone="info", symbol="info")
        return to_list()
    return _said(ended)


@blueprint.get("/account/applications/end")
@signed_in
def ask_end_application(session: CurrentSession) -> Response:
    """The question before one application loses its access everywhere, and the browsers stay signed in."""
    services = web.current_services()
    client_id = _one_client(request.args)
    with services.database.reading() as tx:
        client = find_client(tx, client_id)
        preview = (
            preview_end_client(
                tx, user_id=session.user_id, client_id=client.id, now=services.clock.now(), policy=services.policy
            )
            if client is not None
            else None
        )
    if client is None or preview is None or not preview.browsers + preview.apps:
        return _has_nothing()
    return _question(
        session,
        title=f"Sign out of {client.name} everywhere",
        lead=f"Your browsers stay signed in, and {client.name} keeps what you allowed it for the next time.",
        action="/account/applications/end",
        hidden=[("client_id", client.id)],
        plan=shown_end(preview, services.settings),
        only_application=True,
    )


@blueprint.post("/account/applications/end")
@signed_in
def end_application(session: CurrentSession) -> Response:
    """End one application's access everywhere: its part in each browser session, and its own sessions."""
    services = web.current_services()
    client_id = _one_client(request.form)
    with services.database.transaction() as tx:
        client = find_client(tx, client_id)
        ended = Ended()
        if client is not None:
            ended = end_client_for_user(
                tx,
                user_id=session.user_id,
                client_id=client.id,
                reason=EndReason.ENDED_BY_PERSON,
                actor=acting(session),
                settings=services.settings,
                now=services.clock.now(),
            )
    web.count_ended(ended)
    if client is None or ended.event_id is None:
        return _has_nothing()
    leave_notice(f"You are signed out of {client.name} everywhere.", link=receipt_link(ended))
    return after(ended, web.own_url("/account/sessions"))


def _end(session: CurrentSession, which: ColumnElement[bool], now: datetime) -> Ended:
    services = web.current_services()
    with services.database.transaction() as tx:
        return end_chosen(
            tx,
            user_id=session.user_id,
            which=which,
            actor=acting(session),
            settings=services.settings,
            policy=services.policy,
            now=now,
        )


def _question(
    session: CurrentSession,
    *,
    title: str,
    lead: str,
    action: str,
    hidden: Sequence[tuple[str, str]],
    plan: ShownEnd,
    tools: int = 0,
    with_tools: bool = False,
    other_path: str = "",
    choices: tuple[Link, ...] = (),
    only_application: bool = False,
) -> Response:
    return web.page(
        "account_end_chosen.html",
        tab="sessions",
        person=person_card(session),
        notice=None,
        title=title,
        lead=lead,
        action=web.own_url(action),
        hidden=hidden,
        plan=plan,
        tools=tools,
        with_tools=with_tools,
        other_path=other_path,
        choices=choices,
        only_application=only_application,
    )


def _ticked(given: MultiDict[str, str]) -> tuple[list[str], bool]:
    ids = list(dict.fromkeys(text for text in given.getlist("session") if is_identifier(text)))
    if len(ids) > MAXIMUM_SELECTED:
        raise BadRequest("Too many sessions were chosen.")
    return ids, given.get("with_tools") == "yes"


def _days(text: str | None) -> int:
    return next((days for days in UNUSED_FOR_DAYS if str(days) == text), USUAL_DAYS)


def _one_client(given: MultiDict[str, str]) -> str:
    named = given.getlist("client_id")
    if len(named) != 1:
        raise BadRequest("Name one application.")
    return named[0]


def _said(ended: Ended) -> Response:
    web.count_ended(ended)
    leave_notice(f"{counted(ended)} signed out.", link=receipt_link(ended))
    return to_list()


def _nothing_left(ids: Sequence[str]) -> Response:
    text = "What you chose is not signed in any more." if ids else "Tick what you want to sign out, and choose again."
    leave_notice(text, tone="info", symbol="info")
    return to_list()


def _has_nothing() -> Response:
    leave_notice("That application has no access now.", tone="info", symbol="info")
    return to_list()
