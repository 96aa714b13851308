"""Ending sessions from the account page: one, everything else, everything. `choosing` ends what was ticked.

Each is one form, one transaction and one call of the one path (design §6); then 303, so that a reload repeats nothing.
Whatever would end several things is preceded by a page that names the counts and who cannot be told (lesson 21).
"""

from flask import Response, request

from idp import web
from idp.account.desk import blueprint
from idp.account.door import acting, signed_in
from idp.account.shown import shown_end, title_of_record
from idp.db.models import EndReason
from idp.kit.identifiers import is_identifier
from idp.sessions import (
    CurrentSession,
    Ended,
    end_everything,
    end_sessions,
    preview_end_everything,
    renew_secret,
)
from idp.sessions.ended import name_ended
from idp.web.notices import leave_notice
from idp.web.views import Link, person_card


@blueprint.post("/account/sessions/<session_id>/end")
@signed_in
def end_one(session: CurrentSession, session_id: str) -> Response:
    """End one browser, app or tool. Another person's, an unknown or an already ended one changes nothing."""
    services = web.current_services()
    now = services.clock.now()
    if session_id == session.id:
        leave_notice("This is the browser that you are using: end it with “Sign out”.", tone="info", symbol="info")
        return to_list()
    with services.database.transaction() as tx:
        ended = end_sessions(
            tx,
            user_id=session.user_id,
            session_ids=[session_id] if is_identifier(session_id) else [],
            reason=EndReason.ENDED_BY_PERSON,
            actor=acting(session),
            settings=services.settings,
            now=now,
        )
    web.count_ended(ended)
    if ended.event_id is None:
        leave_notice("It was signed out already.", tone="info", symbol="info")
        return to_list()
    with services.database.single_reads() as statements:
        name = name_ended(statements, user_id=session.user_id, session_id=session_id, now=now, policy=services.policy)
    own_page = web.own_url(f"/account/sessions/{session_id}")
    if name is not None and name.has_approved:
        return web.see_other(own_page)
    title = title_of_record(name) if name is not None else "It"
    leave_notice(f"{title} is signed out.", link=Link("See who was told", own_page))
    return to_list()


@blueprint.get("/account/sessions/end-others")
@signed_in
def ask_end_others(session: CurrentSession) -> Response:
    """The question before "Sign out everywhere else"."""
    return _question(session, everywhere=False)


@blueprint.get("/account/sessions/end-everywhere")
@signed_in
def ask_end_everywhere(session: CurrentSession) -> Response:
    """The question before "Sign out everywhere"."""
    return _question(session, everywhere=True)


@blueprint.post("/account/sessions/end-others")
@signed_in
def end_others(session: CurrentSession) -> Response:
    """End everything but this browser, whose cookie gets a new secret: a copy of it dies at once."""
    services = web.current_services()
    keep_apps = request.form.get("keep_apps") == "yes"
    now = services.clock.now()
    with services.database.transaction() as tx:
        ended = end_everything(
            tx,
            user_id=session.user_id,
            except_session_id=session.id,
            reason=EndReason.SIGNED_OUT_BROWSERS if keep_apps else EndReason.SIGNED_OUT_EVERYWHERE_ELSE,
            actor=acting(session),
            settings=services.settings,
            now=now,
            keep_apps=keep_apps,
        )
        try:
            handle = renew_secret(tx, session_id=session.id, now=now, keep_previous=False)
        except LookupError:
            handle = None  # this browser was itself signed out meanwhile: everything is over, and that stands
    web.count_ended(ended)
    web.renew_csrf()
    web.forget_current_session()
    if ended.event_id is None:
        leave_notice("Nothing else was signed in.", tone="info", symbol="info")
    else:
        leave_notice(f"{counted(ended)} signed out.", link=receipt_link(ended))
    response = to_list()
    if handle is not None:
        web.set_handle(response, handle, keep_signed_in=session.keep_signed_in)
    return response


@blueprint.post("/account/sessions/end-everywhere")
@signed_in
def end_all(session: CurrentSession) -> Response:
    """End everything, this browser too, and show the receipt."""
    services = web.current_services()
    keep_apps = request.form.get("keep_apps") == "yes"
    with services.database.transaction() as tx:
        ended = end_everything(
            tx,
            user_id=session.user_id,
            except_session_id=None,
            reason=EndReason.SIGNED_OUT_BROWSERS if keep_apps else EndReason.SIGNED_OUT_EVERYWHERE,
            actor=acting(session),
            settings=services.settings,
            now=services.clock.now(),
            keep_apps=keep_apps,
        )
    web.count_ended(ended)
    web.renew_csrf()
    web.forget_current_session()
    # Nobody is signed in here any more: the receipt's public address, which shows names in this browser.
    receipt = ended.receipt
    response = web.see_other(web.own_url(f"/signed-out/{receipt.reveal()}" if receipt else "/signed-out"))
    web.clear_handle(response)
    return response


def _question(session: CurrentSession, *, everywhere: bool) -> Response:
    services = web.current_services()
    keep_apps = request.args.get("keep_apps") == "yes"
    with services.database.reading() as tx:
        preview = preview_end_everything(
            tx,
            user_id=session.user_id,
            except_session_id=None if everywhere else session.id,
            now=services.clock.now(),
            policy=services.policy,
            keep_apps=keep_apps,
            acting_session_id=session.id,
        )
    return web.page(
        "account_end_many.html",
        tab="sessions",
        person=person_card(session),
        notice=None,
        everywhere=everywhere,
        keep_apps=keep_apps,
        plan=shown_end(preview, services.settings),
    )


def to_list() -> Response:
    """Back to the list, which shows the notice."""
    return web.see_other(web.own_url("/account/sessions"))


def receipt_link(ended: Ended) -> Link | None:
    """Where the person can follow an end, for 90 days; None when there was nothing left to end."""
    if ended.event_id is None:
        return None
    return Link("See who was told", web.own_url(f"/account/receipts/{ended.event_id}"))


def after(ended: Ended | None, otherwise: str) -> Response:
    """On to the receipt when this browser has to open addresses of applications (Front-Channel Logout), else on."""
    if ended is not None and ended.event_id is not None and ended.frontchannel:
        return web.see_other(web.own_url(f"/account/receipts/{ended.event_id}"))
    return web.see_other(otherwise)


def counted(ended: Ended) -> str:
    """What ended, as the subject of a sentence with its verb: "1 browser and 2 apps and tools are"."""
    browsers = f"{ended.browsers:,} browser{'' if ended.browsers == 1 else 's'}"
    apps = "1 app or tool" if ended.apps == 1 else f"{ended.apps:,} apps and tools"
    parts = [words for count, words in ((ended.browsers, browsers), (ended.apps, apps)) if count]
    return f"{' and '.join(parts)} {'is' if ended.browsers + ended.apps == 1 else 'are'}"
