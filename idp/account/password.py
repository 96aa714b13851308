"""The page on which a person changes the password: the current one, the new one, and everything else is signed out.

Owns the order (design §6, NIST SP 800-63B §3.1.1.2): the guess is counted and committed before the current password is
checked, hashing happens outside any transaction, and the new hash, the ends, the mail and the audit row are one commit.
Refuses to change a password that was changed meanwhile. What makes a password acceptable is `idp.users`' to say.
"""

from flask import Response, request
from werkzeug.exceptions import BadRequest

from idp import audit, mail, web
from idp.account.desk import blueprint
from idp.account.door import acting, signed_in
from idp.account.ending import counted, receipt_link
from idp.db.models import EndReason
from idp.kit import metrics
from idp.kit.opaque import Secret
from idp.sessions import CurrentSession, end_everything, lock_user, renew_secret
from idp.users import checks_for, find_password_problem, find_user, refund_guess, reserve_guess, set_password
from idp.web.notices import leave_notice
from idp.web.views import person_card

_WRONG = "The current password is not right."
_DIFFERENT = "The new password and its repetition are not the same."
_SAME = "The new password is the current one. Choose another."
_MISSING = "Fill in all three passwords."
_TOO_MANY = "There were too many attempts. Wait a while, then try again."
_MEANWHILE = "Your password was changed somewhere else a moment ago. Nothing was changed here."


@blueprint.get("/account/password")
@signed_in
def ask_password(session: CurrentSession) -> Response:
    """The form."""
    return _form(session)


@blueprint.get("/.well-known/change-password")
def change_password() -> Response:
    """Where password managers look for the page (W3C, A Well-Known URL for Changing Passwords §2)."""
    return web.see_other(web.own_url("/account/password"))


@blueprint.post("/account/password")
@signed_in
def save_password(session: CurrentSession) -> Response:
    """Check the current password, store the new one, and end every other session."""
    current, new, again = (Secret(_field(name)) for name in ("current_password", "new_password", "new_again"))
    if problem := _problem(current, new, again):
        return _form(session, error=problem, status=400)
    services, address = web.current_services(), web.client_address(request)
    with services.database.transaction() as tx:
        user = find_user(tx, session.user_id)
        verdict = reserve_guess(
            tx,
            person=session.user_id,
            address=address,
            now=services.clock.now(),
            settings=services.settings,
            keyring=services.keyring,
        )
    if not verdict.allowed:
        metrics.count_refused_guess()
        return _form(session, error=_TOO_MANY, status=429)
    stored = user.password_hash if user is not None else None
    checks = checks_for(services.settings.concurrent_password_checks)
    if not checks.verify(stored, current):
        _record_refusal(session, address)
        return _form(session, error=_WRONG, status=403)
    return _change(session, stored=stored, new_hash=checks.hash(new), address=address)


def _change(session: CurrentSession, *, stored: str | None, new_hash: str, address: str) -> Response:
    services, keep_apps = web.current_services(), request.form.get("keep_apps") == "yes"
    now = services.clock.now()
    with services.database.transaction() as tx:
        held = lock_user(tx, session.user_id)
        if held is None or held.password_hash != stored:
            return _form(session, error=_MEANWHILE, status=409)
        set_password(tx, user_id=held.id, password_hash=new_hash, actor="person", now=now)
        ended = end_everything(
            tx,
            user_id=held.id,
            except_session_id=session.id,
            reason=EndReason.PASSWORD_CHANGED,
            actor=acting(session),
            settings=services.settings,
            now=now,
            keep_apps=keep_apps,
        )
        try:
            handle = renew_secret(tx, session_id=session.id, now=now, keep_previous=False)
        except LookupError:
            handle = None  # this browser was itself signed out meanwhile: the password is changed all the same
        refund_guess(tx, person=held.id, address=address, keyring=services.keyring)
        letter = mail.password_changed(now=now, settings=services.settings)
        mail.enqueue_mail(tx, user_id=held.id, letter=letter, settings=services.settings, now=now)
    web.count_ended(ended)
    web.renew_csrf()
    web.forget_current_session()
    if ended.event_id is None:
        leave_notice("Your password is changed. Nothing else was signed in.")
    else:
        leave_notice(f"Your password is changed. {counted(ended)} signed out.", link=receipt_link(ended))
    response = web.see_other(web.own_url("/account/sessions"))
    if handle is not None:
        web.set_handle(response, handle, keep_signed_in=session.keep_signed_in)
    return response


def _problem(current: Secret, new: Secret, again: Secret) -> str | None:
    if not (current.reveal() and new.reveal() and again.reveal()):
        return _MISSING
    if new.reveal() != again.reveal():
        return _DIFFERENT
    return _SAME if new.reveal() == current.reveal() else find_password_problem(new)


def _record_refusal(session: CurrentSession, address: str) -> None:
    services, device = web.current_services(), web.device(request)
    with services.database.transaction() as tx:
        audit.record(
            tx,
            "sign_in_refused",
            now=services.clock.now(),
            user_id=session.user_id,
            session_id=session.id,
            actor="person",
            ip_address=address,
            details={"method": "pwd", "agent": device.agent_name, "os": device.os_name, "page": "password"},
        )


def _field(name: str) -> str:
    values = request.form.getlist(name)
    if len(values) > 1:
        raise BadRequest(f"{name} was sent more than once.")
    return values[0] if values else ""


def _form(session: CurrentSession, *, error: str | None = None, status: int = 200) -> Response:
    return web.page(
        "account_password.html",
        status=status,
        person=person_card(session),
        tab="password",
        notice=None,
        login=session.email or session.username or "",
        error=error,
        keep_apps=request.form.get("keep_apps") == "yes",
    )
