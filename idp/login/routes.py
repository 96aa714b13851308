"""GET and POST /login: parse, ask what comes next, render.

The answer to a wrong name and to a wrong password is the same page with the same status. A sign-in always gives a new
session identifier or, for the same person, a new secret; and the CSRF token learnt before it is forgotten (fixation).
"""

from datetime import datetime, timedelta
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest

from idp import web
from idp.kit import metrics
from idp.kit.opaque import Secret
from idp.login.next_step import SignInState, Step, next_step
from idp.login.password import ProvenPerson, TooManyGuesses, WrongPair, check_password, start_session
from idp.login.waiting import Waiting, WaitingIsOver, find_waiting, single
from idp.policy import read_in_force
from idp.sessions import CurrentSession, SessionPolicy, SignInRefused
from idp.sessions.why import why_ended
from idp.web.reasons import reason_at_sign_in
from idp.web.times import length

blueprint = Blueprint("login", __name__)

_MISSING = "Enter your e-mail address or username, and your password."
_WRONG = "That name and password do not belong together. Check both and try again."
_CLOSED = "This account is closed. If you did not expect that, ask the people who run this service."
_OVERTAKEN = "Your account was signed out everywhere while you signed in. Please sign in again."
_AGAIN = "Please sign in again to continue."


@blueprint.get("/login")
def show_sign_in() -> Response:
    """The sign-in page, or straight on when nothing has to be proven."""
    services = web.current_services()
    now = services.clock.now()
    with services.database.reading() as tx:
        waiting = find_waiting(tx, request, now=now)
    if isinstance(waiting, WaitingIsOver):
        return _sign_in_is_over()
    session = web.current_session()
    if next_step(_state(waiting, session)) is Step.GO_ON:
        return web.see_other(waiting.destination)
    return _form(
        waiting,
        username=_known_name(waiting, session),
        keep=session is not None and session.keep_signed_in,
        reason=_reason(session, now),
    )


@blueprint.post("/login")
def sign_in() -> Response:
    """Check the pair, start the session, and send the person on."""
    services = web.current_services()
    now = services.clock.now()
    with services.database.reading() as tx:
        waiting = find_waiting(tx, request, now=now)
    if isinstance(waiting, WaitingIsOver):
        return _sign_in_is_over()
    name, password = _field("username"), Secret(_field("password"))
    keep = request.form.get("keep_signed_in") == "yes"
    if not name.strip() or not password.reveal():
        return _form(waiting, username=name, keep=keep, error=_MISSING, status=400)
    device = web.device(request)
    answer = check_password(services, name=name, password=password, device=device, now=now)
    match answer:
        case WrongPair():
            return _form(waiting, username=name, keep=keep, error=_WRONG, status=403)
        case TooManyGuesses():
            metrics.count_refused_guess()
            return _too_many(waiting, name, keep, answer.retry_at, now)
        case ProvenPerson():
            pass
    if next_step(_state(waiting, None, proven="pwd")) is not Step.START_SESSION:
        return _form(waiting, username=name, keep=keep)
    started = start_session(
        services,
        proven=answer,
        keep_signed_in=keep,
        device=device,
        previous_handle=web.read_handle(request),
        # Asked again: hashing takes long, and `auth_time` must not lie before a request stored meanwhile.
        now=services.clock.now(),
    )
    if isinstance(started, SignInRefused):
        text = _CLOSED if started is SignInRefused.ACCOUNT_CLOSED else _OVERTAKEN
        return _form(waiting, username=name, keep=keep, error=text, status=403)
    web.count_ended(started.ended)
    web.renew_csrf()
    web.forget_current_session()
    response = web.see_other(waiting.destination)
    web.set_handle(response, started.handle, keep_signed_in=started.keep_for is not None, keep_for=started.keep_for)
    return response


def _state(waiting: Waiting, session: CurrentSession | None, *, proven: str | None = None) -> SignInState:
    return SignInState(
        signed_in_at=session.auth_time if session else None,
        asked_at=waiting.asked_at,
        wants_other_account=single(request, "switch") == "yes",
        proven=frozenset({proven} if proven else ()),
    )


def _field(name: str) -> str:
    values = request.form.getlist(name)
    if len(values) > 1:
        raise BadRequest(f"{name} was sent more than once.")
    return values[0] if values else ""


def _known_name(waiting: Waiting, session: CurrentSession | None) -> str:
    if single(request, "switch") == "yes":
        return ""
    return waiting.login_hint or (session.email or session.username or "" if session else "")


def _reason(session: CurrentSession | None, now: datetime) -> str | None:
    if session is not None:
        return None if single(request, "switch") == "yes" else _AGAIN
    handle = web.read_handle(request)
    if handle is None:
        return None
    services = web.current_services()
    with services.database.reading() as tx:
        policy = SessionPolicy.today(tx, services.settings)
        return reason_at_sign_in(why_ended(tx, handle=handle, now=now, policy=policy))


def _form(
    waiting: Waiting,
    *,
    username: str,
    keep: bool = False,
    error: str | None = None,
    reason: str | None = None,
    status: int = 200,
) -> Response:
    services = web.current_services()
    with services.database.reading() as tx:
        settings = read_in_force(tx, services.settings).settings
    query = dict(waiting.query)
    if single(request, "switch") == "yes":
        query["switch"] = "yes"
    return web.page(
        "login.html",
        status=status,
        form_action=waiting.form_action,
        img_src=waiting.client.image_sources if waiting.client else (),
        client=waiting.client,
        error=error,
        reason=reason,
        action=own_login_address(query),
        hidden={},
        username=username,
        may_keep=settings.keep_signed_in,
        keep_signed_in=keep,
        keep_for=length(settings.keep_signed_in_idle_lifetime),
    )


def own_login_address(query: dict[str, str]) -> str:
    """The address of this page with what it waits for."""
    return web.own_url("/login") + ("?" + urlencode(query) if query else "")


def _too_many(waiting: Waiting, name: str, keep: bool, retry_at: datetime | None, now: datetime) -> Response:
    # A length of time and no time of day: what this page says cannot be put into the reader's time zone.
    minutes = max(1, -(-(retry_at - now) // timedelta(minutes=1))) if retry_at else 0
    wait = length(timedelta(minutes=minutes)) if minutes else "a while"
    response = _form(
        waiting, username=name, keep=keep, error=f"There were too many attempts. Try again in {wait}.", status=429
    )
    if retry_at is not None:
        response.headers["Retry-After"] = str(max(1, int((retry_at - now).total_seconds()) + 1))
    return response


def _sign_in_is_over() -> Response:
    return web.error_page(
        400,
        "This sign-in is over",
        "It was finished already, was left open for too long, or began in another browser.",
        "Go back to the application and start again.",
        home=True,
    )
