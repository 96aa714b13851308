"""A small web application that lets people sign in with an OpenID Provider, and out again, from either side.

Its own session (see `sessions`) is tied to the provider's by `sid`. The provider ends it by posting a logout token to
`/backchannel-logout`; the person ends both with one button. Nothing here depends on which provider it is.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from authlib.integrations.base_client import OAuthError
from flask import Flask, Response, abort, jsonify, make_response, redirect, render_template, request, url_for
from joserfc.errors import JoseError
from requests import HTTPError, RequestException
from werkzeug.wrappers import Response as BaseResponse

from examples.relying_party.configuration import Configuration
from examples.relying_party.database import Database, PendingSignIns
from examples.relying_party.logout_token import MAX_TOKEN_LENGTH, LogoutTokenError
from examples.relying_party.provider import Provider, ProviderError
from examples.relying_party.sessions import SESSION_SECONDS, EndedBy, Session, Sessions

Answer = BaseResponse | tuple[BaseResponse, int]


@dataclass(frozen=True)
class Parts:
    """What the pages work with."""

    configuration: Configuration
    provider: Provider
    sessions: Sessions
    clock: Callable[[], float]

    def find_session(self) -> Session | None:
        """The session of the browser that asks, also when it has ended."""
        return self.sessions.find(request.cookies.get(self.configuration.cookie_name), now=self.clock())

    def own_session(self) -> tuple[str, Session]:
        """Handle and live session of the form that was sent; anything else ends the request."""
        session = self.find_session()
        if session is None or not session.is_live:
            abort(redirect(url_for("home"), 303))
        # SameSite=Lax does not keep out other ports of this host, which count as the same site.
        if not secrets.compare_digest(session.form_token.encode(), request.form.get("form_token", "").encode()):
            abort(400)
        return request.cookies[self.configuration.cookie_name], session


def create_app(configuration: Configuration, *, clock: Callable[[], float] = time.time) -> Flask:
    """The application, ready for any WSGI server. `clock` gives seconds since 1970."""
    database = Database(configuration.database)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=database.signing_secret(),
        # Cookies know no ports: two applications on one host must not share a name (RFC 6265 §8.5).
        SESSION_COOKIE_NAME=f"{configuration.cookie_name}_signing_in",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=configuration.is_secure,
        MAX_CONTENT_LENGTH=65536,
    )
    provider = Provider(app, configuration, PendingSignIns(database, clock), clock)
    parts = Parts(configuration, provider, Sessions(database), clock)
    app.jinja_env.filters["clock_time"] = _as_clock_time
    app.context_processor(lambda: {"application": configuration.name, "issuer": configuration.issuer})
    _add_pages(app, parts)
    _add_signing_in_and_out(app, parts)
    _add_use_of_tokens(app, parts)
    _add_backchannel_logout(app, parts)
    _add_answers_to_trouble(app)
    app.after_request(lambda response: _harden(response, configuration))
    return app


def _add_pages(app: Flask, parts: Parts) -> None:
    @app.get("/")
    def home() -> str:
        return render_template("home.html", session=parts.find_session())

    @app.get("/status")
    def status() -> Response:
        """For the open page, which asks now and then whether it still tells the truth."""
        session = parts.find_session()
        return jsonify(signed_in=session is not None and session.is_live)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")


def _add_signing_in_and_out(app: Flask, parts: Parts) -> None:
    configuration, provider, sessions = parts.configuration, parts.provider, parts.sessions

    @app.get("/sign-in")
    def sign_in() -> BaseResponse:
        return provider.redirect_to_sign_in(configuration.base_url + url_for("callback"))

    @app.get("/callback")
    def callback() -> Answer:
        signed_in = provider.finish_sign_in(request.args)
        handle = sessions.start(signed_in, now=parts.clock())
        if handle is None:
            return _message("You were signed out", "The provider ended this sign-in while it was under way.", 200)
        sessions.end(request.cookies.get(configuration.cookie_name, ""), EndedBy.PERSON, now=parts.clock())
        response = redirect(url_for("home"), 303)
        # Lax: the cookie must arrive when the provider sends the browser back, and must not on a foreign form's POST.
        response.set_cookie(
            configuration.cookie_name,
            handle,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=configuration.is_secure,
        )
        return response

    @app.post("/sign-out")
    def sign_out() -> Answer:
        """Here first: whatever happens at the provider, the person is out of this application."""
        handle, session = parts.own_session()
        sessions.end(handle, EndedBy.PERSON, now=parts.clock())
        try:
            response = provider.redirect_to_sign_out(
                id_token=session.id_token, back_to=configuration.base_url + url_for("signed_out")
            )
        except (RequestException, ProviderError):
            what = "You are signed out here, but the provider can't be reached. Sign out there, too."
            return _message("You are signed out here", what, 200)
        response.delete_cookie(configuration.cookie_name)
        return response

    @app.get("/signed-out")
    def signed_out() -> Answer:
        provider.confirm_sign_out()
        return _message("You are signed out", "You are signed out here and at the provider.", 200)


def _add_use_of_tokens(app: Flask, parts: Parts) -> None:
    provider, sessions = parts.provider, parts.sessions

    @app.post("/refresh")
    def refresh() -> Answer:
        handle, session = parts.own_session()
        if session.refresh_token is None:
            return _message("Nothing to refresh", "The provider gave this application no refresh token.", 200)
        try:
            tokens = provider.refresh(session.refresh_token)
        except OAuthError as error:
            if error.error != "invalid_grant":
                raise
            sessions.end(handle, EndedBy.PROVIDER, now=parts.clock())  # RFC 6749 §5.2: it is over, and nobody told us
            return redirect(url_for("home"), 303)
        sessions.replace_tokens(handle, access_token=tokens["access_token"], refresh_token=tokens.get("refresh_token"))
        what = f"The provider gave a new access token, good for {tokens.get('expires_in', 'some')} seconds."
        return _message("Refreshed", what, 200)

    @app.post("/details")
    def details() -> Answer:
        _, session = parts.own_session()
        try:
            claims = provider.userinfo(session.access_token or "")
        except HTTPError as error:
            if error.response is None or error.response.status_code != 401:
                raise
            what = "The access token is no longer good: it has expired, or was revoked."
            return _message("The provider said no", what, 200)
        return make_response(render_template("details.html", claims=claims))


def _add_backchannel_logout(app: Flask, parts: Parts) -> None:
    @app.post("/backchannel-logout")
    def backchannel_logout() -> Answer:
        """OpenID Connect Back-Channel Logout 1.0 §2.5–§2.8. The signature is the authentication: no cookie, no CSRF."""
        tokens = request.form.getlist("logout_token")
        if len(tokens) != 1 or len(tokens[0]) > MAX_TOKEN_LENGTH:
            return _refuse_logout("exactly one logout_token is needed")
        try:
            notice = parts.provider.verify_logout_token(tokens[0])
        except LogoutTokenError as error:
            return _refuse_logout(str(error))
        except (RequestException, ProviderError):
            # Not the sender's fault: 503 lets it try again, where 400 would make it give up.
            problem = jsonify(error="temporarily_unavailable", error_description="the keys can't be fetched now")
            return problem, 503
        ended = parts.sessions.end_as_notified(notice, now=parts.clock())
        if ended is None:
            return _refuse_logout("this token was used before")
        app.logger.info("The provider ended %d session(s).", ended)
        return Response(status=200)  # §2.8: also when no session was found, for then none is left


def _refuse_logout(reason: str) -> Answer:
    return jsonify(error="invalid_request", error_description=reason), 400


def _add_answers_to_trouble(app: Flask) -> None:
    @app.errorhandler(OAuthError)
    def refused(error: OAuthError) -> Answer:
        app.logger.warning("Sign-in refused: %s", error.error)
        if error.error == "access_denied":
            return _message("Not signed in", "The sign-in was cancelled at the provider.", 403)
        return _message("That did not work", "This step is no longer valid. Please start again.", 400)

    @app.errorhandler(JoseError)
    @app.errorhandler(ProviderError)
    def distrusted(error: Exception) -> Answer:
        app.logger.error("The provider's answer is not acceptable: %s", error)
        return _message("That did not work", "The provider's answer could not be trusted. Please start again.", 502)

    @app.errorhandler(RequestException)
    def unreachable(error: RequestException) -> Answer:
        app.logger.error("The provider can't be reached: %s", type(error).__name__)
        return _message("The provider can't be reached", "Please try again in a moment.", 502)

    @app.errorhandler(400)
    def malformed(_error: Exception) -> Answer:
        return _message("That did not work", "The page was out of date. Please go back and try again.", 400)


def _message(title: str, what: str, status: int) -> Answer:
    return make_response(render_template("message.html", title=title, what=what)), status


def _harden(response: Response, configuration: Configuration) -> Response:
    provider = urlsplit(configuration.issuer)
    # The provider's origin in form-action: browsers apply it to the redirect that follows the sign-out form, too.
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
        f" form-action 'self' {provider.scheme}://{provider.netloc}; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"  # Back-Channel Logout §2.8 asks for it, too
    return response


def _as_clock_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S on %d %B %Y (%Z)")
