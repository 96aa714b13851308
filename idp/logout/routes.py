"""Routes: /oauth2/logout (the end_session_endpoint), /logout (the question, and our own button).

The session is dead in the database before an answer leaves (I16), and nobody waits for an application to be told.
A POST from an RP's site carries no Lax cookie, so every POST to the endpoint is put aside and fetched again by a GET of
ours, where the cookie arrives.
"""

from datetime import datetime
from urllib.parse import urlencode

from flask import Response, request

from idp import sessions, web
from idp.db.engine import Tx
from idp.db.models import EndReason, StoredRequestKind
from idp.kit.uris import origin_of
from idp.logout.desk import blueprint
from idp.logout.end_session_request import (
    EndSessionRequest,
    Unreadable,
    check_request,
    read_hint,
    read_parameters,
)
from idp.logout.next_step import Step, next_step
from idp.logout.question import Question, find_question, keep_way_back
from idp.sessions import Actor, CurrentSession, Ended
from idp.web import stored_requests
from idp.web.views import PersonCard, client_card


@blueprint.get("/oauth2/logout")
def end_session() -> Response:
    """RP-Initiated Logout §2. Also where a request that came by POST is taken up again."""
    handle = request.args.get("request")
    if handle is not None:
        return _take_up(handle)
    try:
        parameters = read_parameters(request.args)
    except Unreadable as problem:
        return _unreadable(problem)
    return _answer(parameters)


@blueprint.post("/oauth2/logout")
@web.csrf_exempt
def end_session_by_post() -> Response:
    """RP-Initiated Logout §2: POST works like GET; the cookie of a cross-site POST arrives only with the next GET."""
    services = web.current_services()
    try:
        parameters = read_parameters(request.form)
    except Unreadable as problem:
        return _unreadable(problem)
    with services.database.transaction() as tx:
        handle = stored_requests.store(
            tx,
            kind=StoredRequestKind.LOGOUT,
            client_id=None,
            parameters={"posted": parameters},
            browser=None,
            now=services.clock.now(),
            settings=services.settings,
        )
    return web.see_other(web.own_url("/oauth2/logout?" + urlencode({"request": handle})))


def _take_up(handle: str) -> Response:
    services = web.current_services()
    now = services.clock.now()
    binding = web.browser_binding()
    with services.database.transaction() as tx:
        stored_requests.bind(tx, handle, kind=StoredRequestKind.LOGOUT, browser=binding, now=now)
        stored = stored_requests.find(tx, handle, kind=StoredRequestKind.LOGOUT, browser=binding, now=now)
        posted = stored.parameters.get("posted") if stored else None
        if stored is None or posted is None or not stored_requests.use(tx, stored, now=now):
            posted = None
    return _answer(posted or {})


def _answer(parameters: dict[str, str]) -> Response:
    services = web.current_services()
    now = services.clock.now()
    hint = read_hint(parameters, keys=services.keys, issuer=services.settings.issuer, now=now)
    current = web.current_session()
    with services.database.single_reads() as statements:
        asked = check_request(statements, parameters, hint)
        named = sessions.find_sid(statements, asked.hint.sid) if asked.hint and asked.hint.sid else None
    step = next_step(current, named)
    if current is None or step is Step.NOTHING_LEFT:
        return _after_sign_out(asked.return_address, None)
    ended: Ended | None = None
    way_back = None
    client_id = asked.client.id if asked.client else None
    with services.database.transaction() as tx:
        if step is Step.END_BROWSER:
            ended = _end_browser(tx, current, client_id, now)
            way_back = keep_way_back(tx, ended, client_id, asked.return_address, now)
            answer = None
        else:
            ended_app = None
            if step is Step.END_APP_THEN_ASK and named is not None and asked.client is not None:
                ended = _end_app(tx, current, named.session_id, asked.client.id, now)
                ended_app = asked.client.name
            answer = _go_and_ask(tx, asked, ended_app, now)
    web.count_ended(ended)
    return answer or _after_sign_out(asked.return_address, ended, way_back)


def _end_browser(tx: Tx, current: CurrentSession, client_id: str | None, now: datetime) -> Ended:
    services = web.current_services()
    return sessions.end_sessions(
        tx,
        user_id=current.user_id,
        session_ids=[current.id],
        reason=EndReason.SIGNED_OUT_BY_APPLICATION if client_id else EndReason.SIGNED_OUT,
        actor=_actor(current, client_id),
        settings=services.settings,
        now=now,
    )


def _end_app(tx: Tx, current: CurrentSession, session_id: str, client_id: str, now: datetime) -> Ended:
    return sessions.end_sessions(
        tx,
        user_id=current.user_id,
        session_ids=[session_id],
        reason=EndReason.SIGNED_OUT_BY_APPLICATION,
        actor=_actor(current, client_id),
        settings=web.current_services().settings,
        now=now,
    )


def _actor(current: CurrentSession, client_id: str | None) -> Actor:
    return Actor(
        name="person",
        session_id=current.id,
        client_id=client_id,
        ip_address=web.client_address(request),
        browser_binding=web.browser_binding(),
    )


def _go_and_ask(tx: Tx, asked: EndSessionRequest, ended_app: str | None, now: datetime) -> Response:
    handle = stored_requests.store(
        tx,
        kind=StoredRequestKind.LOGOUT,
        client_id=asked.client.id if asked.client else None,
        parameters={"return_address": asked.return_address, "ended_app": ended_app},
        browser=web.browser_binding(),
        now=now,
        settings=web.current_services().settings,
    )
    return web.see_other(web.own_url("/logout?" + urlencode({"request": handle})))


@blueprint.get("/logout")
def ask() -> Response:
    """The question. Without a session there is nothing to ask."""
    services = web.current_services()
    current = web.current_session()
    with services.database.reading() as tx:
        _, question = find_question(tx, services.clock.now())
    if current is None:
        return _after_sign_out(question.return_address, None)
    query = "?" + urlencode({"request": question.handle}) if question.handle else ""
    return web.page(
        "logout.html",
        form_action=[origin_of(question.return_address)] if question.return_address else [],
        client=client_card(question.client) if question.client else None,
        ended_app=question.ended_app,
        person=PersonCard(
            login=current.email or current.username or current.user_display_name, name=current.user_display_name
        ),
        applications=(),
        action=web.own_url("/logout") + query,
        hidden={},
        cancel_path=question.return_address or web.own_url("/account"),
    )


@blueprint.post("/logout")
def sign_out() -> Response:
    """The answer to the question, and the "Sign out" of our own pages: end this browser's session."""
    services = web.current_services()
    now = services.clock.now()
    current = web.current_session()
    with services.database.transaction() as tx:
        stored, question = find_question(tx, now)
        if stored is not None and not stored_requests.use(tx, stored, now=now):
            question = Question("", None, None, None)  # answered in another tab: sign out all the same, go nowhere
        client_id = question.client.id if question.client else None
        ended = _end_browser(tx, current, client_id, now) if current else None
        way_back = keep_way_back(tx, ended, client_id, question.return_address, now)
    web.count_ended(ended)
    return _after_sign_out(question.return_address, ended, way_back)


def _after_sign_out(return_address: str | None, ended: Ended | None, way_back: str | None = None) -> Response:
    """Nothing of the session is left in the browser; then to the application, or to a page that says it is over."""
    web.forget_current_session()
    web.renew_csrf()
    receipt = ended.receipt if ended else None
    if receipt is not None and (return_address is None or way_back is not None):
        query = "?" + urlencode({"request": way_back}) if way_back else ""
        response = web.see_other(web.own_url(f"/signed-out/{receipt.reveal()}{query}"))
    elif return_address is not None:
        response = web.see_other(return_address)
    else:
        response = web.see_other(web.own_url("/signed-out"))
    web.clear_handle(response)
    return response


def _unreadable(problem: Unreadable) -> Response:
    return web.error_page(
        400,
        "This sign-out link cannot be read",
        f"The application sent something that is not valid: {problem}. Nothing was signed out.",
        "Sign out on your account page instead.",
        error_code="invalid_request",
        action=("Sign out", web.own_url("/logout")),
    )
