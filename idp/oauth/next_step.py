"""What an authorization request leads to now: one pure decision from request, session, consent and time.

Every way in (a fresh request, the return from the sign-in page, the answer of the consent page) asks this function
again, against the state of that moment. No page decides for itself what comes next (lessons: "second factors skipped by
a side door"). Serves OIDC Core §3.1.2.1, §3.1.2.3, §3.1.2.4, §3.1.2.6; RFC 8252 §8.6.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from idp.kit.uris import is_native_redirect
from idp.oauth.authorize_request import AuthorizeRequest
from idp.sessions import CurrentSession
from idp.tokens import makes_app_session


@dataclass(frozen=True)
class ShowLogin:
    """The person must sign in, again or as someone else."""


@dataclass(frozen=True)
class AskConsent:
    """The person must say yes to this client on a page."""

    is_native: bool


@dataclass(frozen=True)
class IssueCode:
    """All is settled."""


@dataclass(frozen=True)
class Refuse:
    """The client is told no, by redirect."""

    error: str
    description: str


NextStep = ShowLogin | AskConsent | IssueCode | Refuse


def next_step(
    request: AuthorizeRequest,
    session: CurrentSession | None,
    consented: tuple[str, ...] | None,
    *,
    began_at: datetime,
    is_approved: bool,
    now: datetime,
) -> NextStep:
    """Decide. `consented`: the scopes of the consent in force. `began_at`: when the request first came here.

    `is_approved`: this very request was just approved on its page by the person of `session`.
    """
    silent = "none" in request.prompt
    if session is None or not _is_recent_enough(request, session, began_at, now):
        return _login_required() if silent else ShowLogin()
    if not _is_the_person_meant(request, session):
        # Whoever signed in for this request and is still another person has given the answer (§3.1.2.1).
        return _login_required() if silent or session.auth_time >= began_at else ShowLogin()
    if request.claims.essential_acr and session.acr not in request.claims.essential_acr:
        return Refuse("unmet_authentication_requirements", "The requested acr cannot be reached.")
    page = None if is_approved else _page_needed(request, consented)
    if page is None:
        return IssueCode()
    if silent:
        return _interaction_refused(page)
    return page


def _is_recent_enough(request: AuthorizeRequest, session: CurrentSession, began_at: datetime, now: datetime) -> bool:
    """Whether the person need not sign in again. A sign-in after the request began satisfies what the request asks."""
    since = request.client.sign_in_again_since
    if since is not None and session.auth_time < since:  # an operator asks: `idp policy sign-in-again --client`
        return False
    if session.auth_time >= began_at:
        return True
    if request.prompt & {"login", "select_account"}:
        return False
    return request.max_age is None or now - session.auth_time <= request.max_age


def _is_the_person_meant(request: AuthorizeRequest, session: CurrentSession) -> bool:
    meant = {sub for sub in (request.hinted_sub, request.claims.sub) if sub is not None}
    return meant <= {session.sub}


def _page_needed(request: AuthorizeRequest, consented: tuple[str, ...] | None) -> AskConsent | None:
    client = request.client
    is_public = client.token_endpoint_auth_method == "none"
    # RFC 8252 §8.6: any program here can send the request of a native app and catch its answer, so that only a person
    # who knows what they just started can tell. Design §3: always, before an app session is made.
    is_native = is_public and is_native_redirect(request.redirect_uri) and makes_app_session(client, request.scope)
    covers = client.is_first_party or (consented is not None and set(request.asked_scopes) <= set(consented))
    if is_native or "consent" in request.prompt or not covers:
        return AskConsent(is_native=is_native)
    return None


def _interaction_refused(page: AskConsent) -> Refuse:
    match page:
        case AskConsent(is_native=True):
            return Refuse("interaction_required", "A page must be shown before an app on this device gets access.")
        case AskConsent():
            return Refuse("consent_required", "The person must be asked first.")
        case _:
            assert_never(page)


def _login_required() -> Refuse:
    return Refuse("login_required", "The person must sign in first.")
