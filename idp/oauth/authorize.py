"""The authorization endpoint and the consent page: the routes that a person's browser visits.

GET and POST work alike (OIDC Core §3.1.2.1). A request that needs a page is put aside under a handle; the sign-in page
and the consent page come back with it to the same dispatcher. Never CORS, never a frame.
"""

from flask import Blueprint, Response, request

from idp.kit.opaque import split_handle
from idp.kit.uris import origin_of
from idp.oauth.asked import FORM
from idp.oauth.authorize_flow import Flow, decide, deny, proceed, put_aside_unbound, read_fresh, take_up
from idp.oauth.next_step import AskConsent
from idp.sessions import CurrentSession
from idp.web import (
    csrf_exempt,
    current_session,
    error_page,
    known_browser_binding,
    own_url,
    page,
    read_handle,
    see_other,
)
from idp.web.views import PersonCard, client_card, scope_lines


def register(blueprint: Blueprint) -> None:
    """Put the routes on the desk's blueprint."""
    # Exempt: a POST from another site is what the specification asks for. It changes nothing by itself.
    blueprint.add_url_rule("/oauth2/authorize", "authorize", csrf_exempt(authorize), methods=["GET", "POST"])
    blueprint.add_url_rule("/consent", "show_consent", show_consent, methods=["GET"])
    blueprint.add_url_rule("/consent", "answer_consent", answer_consent, methods=["POST"])


def authorize() -> Response:
    """OIDC Core §3.1.2."""
    if request.method == "POST":
        if request.mimetype != FORM:
            return _unreadable_page()
        flow = read_fresh(request.form)
        if isinstance(flow, Flow) and known_browser_binding() is None and read_handle(request) is None:
            return put_aside_unbound(flow)
    else:
        handle = _own_handle()
        flow = read_fresh(request.args) if handle is None else take_up(handle)
    return proceed(flow) if isinstance(flow, Flow) else flow


def show_consent() -> Response:
    """The question to the person, when it is really the next step of this request."""
    flow = take_up(request.args.get("request", ""))
    if not isinstance(flow, Flow):
        return flow
    session = current_session()
    step = decide(flow, session)
    if session is None or not isinstance(step, AskConsent):
        return see_other(own_url(f"/oauth2/authorize?request={flow.handle}"))
    client = client_card(flow.request.client, flow.request.redirect_uri)
    here = own_url(f"/consent?request={flow.handle}")
    return page(
        "consent.html",
        # Browsers apply form-action to the redirect that follows the form, too.
        form_action=(origin_of(flow.request.redirect_uri),),
        img_src=client.image_sources,
        client=client,
        native=step.is_native,
        person=_person(session),
        scopes=scope_lines(flow.request.asked_scopes),
        action=here,
        hidden={"shown_to": _shown_to(session)},
        switch_path=own_url(f"/login?request={flow.handle}&switch=yes"),
    )


def answer_consent() -> Response:
    """The person's answer. It counts once, and only for whom the page was shown to."""
    flow = take_up(request.args.get("request", ""))
    if not isinstance(flow, Flow):
        return flow
    decision, session = request.form.get("decision"), current_session()
    if decision not in {"allow", "deny"}:
        return _unreadable_page()
    if session is None or request.form.get("shown_to") != _shown_to(session):
        # Somebody else signed in meanwhile, or everything was signed out: nobody answers for another, or from before.
        return see_other(own_url(f"/oauth2/authorize?request={flow.handle}"))
    return proceed(flow, is_approved=True) if decision == "allow" else deny(flow)


def _own_handle() -> str | None:
    """The handle with which our pages come back. An RP's `request` (a JWT, with other parameters) is none."""
    handle = request.args.get("request", "")
    return handle if list(request.args) == ["request"] and split_handle(handle) is not None else None


def _shown_to(session: CurrentSession) -> str:
    """Person, sign-in and epoch for whom a page is made (I9). No secret: the CSRF token guards the form."""
    return f"{session.id}.{session.user_epoch}"


def _person(session: CurrentSession) -> PersonCard:
    login = session.email or session.username or session.sub
    name = session.user_display_name
    return PersonCard(login=login, name="" if name == login else name)


def _unreadable_page() -> Response:
    return error_page(
        400,
        "This sign-in request cannot be read",
        "What your browser sent is not a form that belongs here.",
        "Go back to the application and start again.",
        error_code="invalid_request",
    )
