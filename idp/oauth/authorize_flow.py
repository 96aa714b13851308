"""Carrying out what `next_step` decided: put the request aside and show a page, issue a code, or tell the client no.

Every write of a step happens in one transaction: a consent, the code, and the use of the stored request stand together
or not at all. If the session or the person changed between the decision and the commit, nothing is written and the
decision is made anew.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from flask import Response, request
from werkzeug.datastructures import MultiDict

from idp.clients import AskingClient, find_asking, find_consent, grant_consent, hold_consent
from idp.db.models import StoredRequestKind
from idp.kit.opaque import Secret
from idp.oauth.authorize_answer import answer_code, answer_error
from idp.oauth.authorize_request import (
    PARAMETERS,
    AuthorizeRequest,
    Parameters,
    Refusal,
    check_redirect_uri,
    from_stored,
    run_checks,
    to_stored,
)
from idp.oauth.next_step import AskConsent, IssueCode, NextStep, Refuse, ShowLogin, next_step
from idp.sessions import CurrentSession
from idp.tokens import CodeRefused, CodeRequest, IdTokenHint, issue_code, read_id_token_hint
from idp.web import (
    browser_binding,
    current_services,
    current_session,
    device,
    error_page,
    forget_current_session,
    own_url,
    see_other,
    stored_requests,
)
from idp.web.stored_requests import PutAside

log = structlog.get_logger(__name__)
AUTHORIZE = StoredRequestKind.AUTHORIZE
# What people read. Which of their addresses is wrong, or whether one was closed, is for the log and the operator.
_UNKNOWN_CLIENT = "It gave a name that is not known here: it was never registered, or it was removed."
_DISABLED_CLIENT = "It was switched off here by an administrator."


@dataclass(frozen=True)
class Flow:
    """One authorization request on its way. `stored` and `handle` once it was put aside."""

    sent: Parameters
    request: AuthorizeRequest
    began_at: datetime
    stored: PutAside | None = None
    handle: str | None = None


class _OvertakenError(Exception):
    """The session, person or consent changed after the decision. Rolls the transaction back."""


class _AlreadyAnsweredError(Exception):
    """Another tab answered this request first. Rolls the transaction back."""


# ── Reading a request ─────────────────────────────────────────────────────────────────────────────────────────────────


def read_fresh(fields: MultiDict[str, str]) -> Flow | Response:
    """The flow of a request that just arrived, or the answer that refuses it."""
    # RFC 6749 §3.1: a parameter without a value counts as not sent; unknown ones are ignored.
    sent = Parameters({name: tuple(value for value in fields.getlist(name) if value) for name in PARAMETERS})
    return _check(sent, began_at=current_services().clock.now())


def take_up(handle: str) -> Flow | Response:
    """The flow of a request that was put aside in this browser, or a page that says why it can't go on."""
    services = current_services()
    browser, now = browser_binding(), services.clock.now()
    with services.database.reading() as tx:
        stored = stored_requests.find(tx, handle, kind=AUTHORIZE, browser=browser, now=now)
    if stored is None:
        with services.database.transaction() as tx:
            if stored_requests.bind(tx, handle, kind=AUTHORIZE, browser=browser, now=now):
                stored = stored_requests.find(tx, handle, kind=AUTHORIZE, browser=browser, now=now)
    if stored is None:
        return _over_page()
    return _check(from_stored(stored.parameters), began_at=stored.created_at, stored=stored, handle=handle)


def _check(
    sent: Parameters, *, began_at: datetime, stored: PutAside | None = None, handle: str | None = None
) -> Flow | Response:
    client = _find_client(sent)
    if isinstance(client, Refusal):
        return _refusal_page(client)
    asked = AuthorizeRequest(client)
    if refusal := check_redirect_uri(sent, asked):
        return _refusal_page(refusal)
    if refusal := run_checks(sent, asked, _read_hint):
        return answer_error(asked, refusal.error, refusal.description)
    return Flow(sent, asked, began_at, stored, handle)


def _find_client(sent: Parameters) -> AskingClient | Refusal:
    client_id = sent.find("client_id")
    if client_id is None:
        return Refusal("invalid_request", "The parameter client_id is missing.")
    if sent.count("client_id") > 1:
        return Refusal("invalid_request", "The parameter client_id is included more than once.")
    with current_services().database.single_reads() as statements:
        client = find_asking(statements, client_id)
    if client is None:
        return Refusal("invalid_client", _UNKNOWN_CLIENT)
    return Refusal("unauthorized_client", _DISABLED_CLIENT) if client.disabled_at else client


def _read_hint(text: str) -> IdTokenHint | None:
    services = current_services()
    return read_id_token_hint(text, keys=services.keys, issuer=services.settings.issuer, now=services.clock.now())


# ── Going on ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def decide(flow: Flow, session: CurrentSession | None, *, is_approved: bool = False) -> NextStep:
    """What comes next for this flow, by the state of this moment."""
    services = current_services()
    consented: tuple[str, ...] | None = None
    if session is not None and not flow.request.client.is_first_party:
        with services.database.single_reads() as statements:
            consented = find_consent(statements, session.user_id, flow.request.client.id)
    return next_step(
        flow.request,
        session,
        consented,
        began_at=flow.began_at,
        is_approved=is_approved,
        now=services.clock.now(),
    )


def proceed(flow: Flow, *, is_approved: bool = False) -> Response:
    """Decide and carry out. `is_approved`: the person of this browser just said yes on this request's page."""
    for _ in range(3):
        session = current_session()
        match decide(flow, session, is_approved=is_approved):
            case Refuse(error, description):
                return _refuse(flow, error, description)
            case ShowLogin():
                return _put_aside(flow, "/login")
            case AskConsent():
                return _put_aside(flow, "/consent")
            case IssueCode():
                assert session is not None, "a code is only issued to a session"
                try:
                    return answer_code(flow.request, _issue(flow, session, is_approved=is_approved))
                except _AlreadyAnsweredError:
                    return _over_page()
                except _OvertakenError:
                    forget_current_session()
                    is_approved = False
    return answer_error(flow.request, "temporarily_unavailable", "The session changed while the request was answered.")


def deny(flow: Flow) -> Response:
    """The person said no (RFC 6749 §4.1.2.1)."""
    return _refuse(flow, "access_denied", "The person did not allow the access.")


def _refuse(flow: Flow, error: str, description: str) -> Response:
    if flow.stored is not None:
        services = current_services()
        with services.database.transaction() as tx:
            if not stored_requests.use(tx, flow.stored, now=services.clock.now()):
                return _over_page()
    return answer_error(flow.request, error, description)


def _issue(flow: Flow, session: CurrentSession, *, is_approved: bool) -> Secret:
    services, asked = current_services(), flow.request
    now = services.clock.now()
    code_request = CodeRequest(
        client_id=asked.client.id,
        redirect_uri=asked.redirect_uri,
        redirect_uri_was_sent=True,
        scope=asked.scope,
        resources=list(asked.resources),
        claims_request=asked.claims.for_family(asked.client.scopes),
        nonce=asked.nonce,
        code_challenge=asked.code_challenge,
        device=device(request),
    )
    with services.database.transaction() as tx:
        # The consent before the session: the order in which withdrawing one locks them.
        if not asked.client.is_first_party:
            if is_approved:
                grant_consent(
                    tx, user_id=session.user_id, client_id=asked.client.id, scopes=asked.asked_scopes, now=now
                )
            else:
                held = hold_consent(tx, session.user_id, asked.client.id)
                if held is None or not set(asked.asked_scopes) <= set(held):
                    raise _OvertakenError
        code = issue_code(
            tx,
            request=code_request,
            session_id=session.id,
            expected_epoch=session.user_epoch,
            settings=services.settings,
            now=now,
        )
        if isinstance(code, CodeRefused):
            raise _OvertakenError
        if flow.stored is not None and not stored_requests.use(tx, flow.stored, now=now):
            raise _AlreadyAnsweredError
    return code


def put_aside_unbound(flow: Flow) -> Response:
    """Keep a cross-site POST, which carries no Lax cookie, and ask again by a GET of our own (design §3)."""
    return see_other(own_url(f"/oauth2/authorize?request={_store(flow, browser=None)}"))


def _put_aside(flow: Flow, path: str) -> Response:
    handle = flow.handle or _store(flow, browser=browser_binding())
    return see_other(own_url(f"{path}?request={handle}"))


def _store(flow: Flow, *, browser: str | None) -> str:
    services = current_services()
    with services.database.transaction() as tx:
        return stored_requests.store(
            tx,
            kind=AUTHORIZE,
            client_id=flow.request.client.id,
            parameters=to_stored(flow.sent, flow.request),
            browser=browser,
            now=flow.began_at,
            settings=services.settings,
        )


# ── Pages for what can't be answered to a client ──────────────────────────────────────────────────────────────────────


def _refusal_page(refusal: Refusal) -> Response:
    # RFC 9700 §4.11: nothing here came from a place that we know, so nobody is sent anywhere.
    log.info("authorization_request_refused", error=refusal.error, cause=refusal.description)
    return error_page(
        400,
        "This sign-in request does not work",
        f"The application that sent you here can't sign you in. {refusal.description}",
        "Go back to the application and try again. If it happens again, tell the people who run the application.",
        error_code=refusal.error,
    )


def _over_page() -> Response:
    return error_page(
        400,
        "This sign-in request is over",
        "It was answered already, it is too old, or it was begun in another browser.",
        "Go back to the application and start again.",
        error_code="invalid_request",
    )
