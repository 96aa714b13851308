"""/account/sessions/<id>: one session in full. A live one: what it is used for, what it approved, its name.

An ended one: why, who was told, and the tools that it had approved, for 90 days. Another person's is not found.
"""

from flask import Response, request
from werkzeug.exceptions import BadRequest, NotFound

from idp import web
from idp.account.desk import blueprint
from idp.account.door import acting, signed_in
from idp.account.ending import after, receipt_link
from idp.account.shown import (
    history_receipt,
    shown_approved,
    shown_details,
    shown_live,
)
from idp.clients import find_client
from idp.db.models import EndReason
from idp.kit.identifiers import is_identifier
from idp.sessions import CurrentSession, LiveSession, end_participation, find_live_session, rename_session
from idp.sessions.ended import EndedDetails, find_ended
from idp.sessions.live import MAXIMUM_LABEL
from idp.web.notices import leave_notice, take_notice
from idp.web.views import person_card


@blueprint.get("/account/sessions/<session_id>")
@signed_in
def show_session(session: CurrentSession, session_id: str) -> Response:
    """One session of this person, live or ended. 404 for everything else."""
    services = web.current_services()
    now = services.clock.now()
    with services.database.reading() as tx:
        ended = find_ended(tx, user_id=session.user_id, session_id=session_id, now=now, policy=services.policy)
        live = None
        if ended is None:
            live = find_live_session(
                tx, user_id=session.user_id, session_id=session_id, now=now, policy=services.policy
            )
    if ended is not None:
        return _ended_page(session, ended)
    if live is not None:
        return _live_page(session, live)
    raise NotFound


def _ended_page(session: CurrentSession, details: EndedDetails) -> Response:
    services = web.current_services()
    return web.page(
        "account_session.html",
        tab="sessions",
        person=person_card(session),
        notice=take_notice(),
        session=shown_details(details),
        receipt=history_receipt(details, now=services.clock.now(), settings=services.settings),
        receipt_path=web.own_url(f"/account/receipts/{details.event_id}") if details.event_id else None,
        tools=shown_approved(details.approved),
        suspicious=request.args.get("suspicious") == "yes",
    )


def _live_page(session: CurrentSession, live: LiveSession) -> Response:
    return web.page(
        "account_live_session.html",
        tab="sessions",
        person=person_card(session),
        notice=take_notice(),
        session=shown_live(live, is_current=live.session_id == session.id),
        tools=shown_approved(live.approved),
        longest_name=MAXIMUM_LABEL,
    )


@blueprint.post("/account/sessions/<session_id>/rename")
@signed_in
def rename(session: CurrentSession, session_id: str) -> Response:
    """Give an app or tool a name of the person's own, or take it back."""
    services = web.current_services()
    label = request.form.get("label", "")
    with services.database.transaction() as tx:
        done = rename_session(tx, user_id=session.user_id, session_id=session_id, label=label, now=services.clock.now())
    if done:
        leave_notice("The name is changed." if label.strip() else "It has its usual name again.")
    else:
        leave_notice(
            f"The name was not changed. It can have at most {MAXIMUM_LABEL} characters, none of which breaks the line "
            "or turns the direction of writing, and the app or tool must be signed in.",
            tone="bad",
            symbol="warning",
        )
    return web.see_other(web.own_url(f"/account/sessions/{session_id}" if is_identifier(session_id) else "/account"))


@blueprint.post("/account/sessions/<session_id>/end-application")
@signed_in
def end_application_here(session: CurrentSession, session_id: str) -> Response:
    """End one application's access in one session; the browser stays signed in."""
    chosen = request.form.getlist("client_id")
    if len(chosen) != 1:
        raise BadRequest("Name one application.")
    if not is_identifier(session_id):
        raise NotFound
    services = web.current_services()
    with services.database.transaction() as tx:
        client = find_client(tx, chosen[0])
        ended = None
        if client is not None:
            ended = end_participation(
                tx,
                user_id=session.user_id,
                session_id=session_id,
                client_id=client.id,
                reason=EndReason.ENDED_BY_PERSON,
                actor=acting(session),
                settings=services.settings,
                now=services.clock.now(),
            )
    web.count_ended(ended)
    if client is None or ended is None or ended.event_id is None:
        leave_notice("That application has no access there now.", tone="info", symbol="info")
        return web.see_other(web.own_url("/account/sessions"))
    leave_notice(f"{client.name} is signed out there.", link=receipt_link(ended))
    return after(ended, web.own_url(f"/account/sessions/{session_id}"))
